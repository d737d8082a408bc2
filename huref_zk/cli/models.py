"""The command models: which architectures are read, and which are not."""

from __future__ import annotations

import click

from huref_zk.cli.common import Output, with_output
from huref_zk.errors import InputError


@click.command()
@click.argument("names", nargs=-1, metavar="[TYPE]...")
@with_output
def models(output: Output, names: tuple[str, ...]) -> None:
    """List the models that are read, by family, and those that are not, with the reason.

    Name one or more TYPEs, a config's "model_type", to hear of these alone.
    """
    from huref_zk.models.families.listing import known, refused

    wanted = {name.lower() for name in names}
    found = [k for k in known() if not wanted or wanted & {k.name, *k.model_types}]
    reasons = {t: r for t, r in refused().items() if not wanted or t.split(" ")[0] in wanted}
    heard = {n for k in found for n in (k.name, *k.model_types)} | {t.split()[0] for t in reasons}
    unknown = sorted(wanted - heard)
    if unknown:
        raise InputError(f"{unknown[0][:60]!r} is no type that is known; --map FILE describes one")
    lines = []
    for k in found:
        lines.append(f"{k.name}: {', '.join(k.model_types)}")
        lines.append(f"    {k.attention} | {k.feed_forward} | {k.norms}")
    if reasons:
        lines += ["", "not read:"]
        lines += [f"{name}: {reason}" for name, reason in reasons.items()]
    types = sum(len(k.model_types) for k in found)
    lines += ["", f"{types} types in {len(found)} families are read, {len(reasons)} are not"]
    output.result(
        {
            "families": [
                {
                    "name": k.name,
                    "model_types": list(k.model_types),
                    "attention": k.attention,
                    "feed_forward": k.feed_forward,
                    "norms": k.norms,
                    "tested": k.tested,
                }
                for k in found
            ],
            "refused": [{"type": t, "reason": r} for t, r in reasons.items()],
        },
        lines,
    )
