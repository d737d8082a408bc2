"""huref-zk attack: rewrite a model the way a thief would, to see what its fingerprint does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from huref_zk.cli.common import Output, with_output
from huref_zk.cli.outputs import REFERENCE
from huref_zk.errors import InputError

if TYPE_CHECKING:
    from huref_zk.attacks import Attack


@click.command()
@click.argument("name", required=False)
@click.argument("model", required=False, type=REFERENCE)
@click.option("--list", "listing", is_flag=True, help="List the attacks and leave.")
@click.option("--out", type=click.Path(path_type=Path), help="The folder to write, a new one.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the chance.")
@click.option("--strength", type=float, help="How violent; --list says what it means.")
@click.option("--revision", help="Revision of a hub model (a full commit hash).")
@click.option("--allow-pickle", is_flag=True, help="Read pickled checkpoints, safely.")
@with_output
def attack(
    output: Output,
    name: str | None,
    model: str | None,
    listing: bool,
    out: Path | None,
    seed: int,
    strength: float | None,
    revision: str | None,
    allow_pickle: bool,
) -> None:
    """Rewrite MODEL by the attack NAME and write it as a Hugging Face folder, in float32.

    Most attacks keep what the model computes; --list says what each costs, in nats a token of
    held-out text on demo-base at its default strength, and what gets past the fingerprint.
    """
    from huref_zk.attacks import ATTACKS, read_checkpoint, write_checkpoint
    from huref_zk.attacks import attack as apply
    from huref_zk.attacks.checkpoint import check_folder

    if listing:
        output.result({"attacks": [_described(entry) for entry in ATTACKS.values()]}, _lines())
        return
    if name is None or model is None or out is None:
        raise InputError("name an attack, a model and --out FOLDER; --list shows the attacks")
    if name not in ATTACKS:
        raise InputError(f"there is no attack {name[:40]!r}; known: {', '.join(ATTACKS)}")
    entry = ATTACKS[name]
    settings = entry.settings(strength)
    check_folder(out)
    with output.progress("reading the model") as progress:
        original = read_checkpoint(
            model, revision=revision, allow_pickle=allow_pickle, progress=progress
        )
    with output.stages("attacking") as stage:
        stage(name)
        attacked = apply(name, original, seed=seed, strength=strength)
        stage("writing")
        write_checkpoint(out, attacked)
    output.result(
        {
            "attack": name,
            "exact": entry.exact,
            "model": model,
            "out": str(out),
            "seed": seed,
            "settings": settings,
        },
        [f"{out}: {model} after {name}, {'the same' if entry.exact else 'another'} function"],
    )


def _described(entry: Attack) -> dict[str, Any]:
    strength = entry.strength
    return {
        "name": entry.name,
        "exact": entry.exact,
        "what": entry.what,
        "nats": entry.nats,
        "limit": entry.limit,
        "strength": None
        if strength is None
        else {
            "name": strength.keyword,
            "what": strength.what,
            "default": strength.default,
            "range": [strength.least, strength.most],
            "exact_to": min(strength.exact_to, strength.most) if entry.exact else None,
        },
    }


def _cost(entry: Attack) -> str:
    return "exact: costs nothing" if entry.exact else f"costs {entry.nats:.3f} nats a token"


def _lines() -> list[str]:
    from huref_zk.attacks import ATTACKS

    lines = []
    for entry in ATTACKS.values():
        lines.append(f"{entry.name:24}{entry.what} ({_cost(entry)})")
        if entry.limit is not None:
            lines.append(f"{'':24}gets past: {entry.limit}")
        if (s := entry.strength) is not None:
            numbers = f"default {s.default:g}, {s.least:g} .. {s.most:g}"
            if entry.exact and s.exact_to < s.most:
                numbers += f", exact up to {s.exact_to:g}"
            lines.append(f"{'':24}--strength: {s.what}; {numbers}")
    return lines
