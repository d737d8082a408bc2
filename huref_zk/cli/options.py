"""Every option that several commands have, once.

A decorator here gives a command its options; where several make one thing (a Setup, a Policy, a
judge's choice of rows) the command gets that thing.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from huref_zk.cli.outputs import IN, OWNER, REFERENCE
from huref_zk.paths import default_cache

if TYPE_CHECKING:
    from huref_zk.proofs.kernel import Policy, Setup

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
RECIPES = ("whole", "last-two", "official")
ANY = "any"
MAX_LAYER = 1 << 16


def together(*options: Decorator) -> Decorator:
    """These decorators as one; their help appears in this order."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


# --- values --------------------------------------------------------------------------------------


def parse_hex(value: str, what: str) -> bytes:
    """32 bytes from 64 hex digits, in either case. click.BadParameter."""
    if not re.fullmatch("[0-9a-fA-F]{64}", value):
        raise click.BadParameter(f"{what} is 64 hex digits")
    return bytes.fromhex(value)


def parse_layers(
    ctx: click.Context | None, param: click.Parameter | None, value: str | None
) -> tuple[int, ...] | None:
    """'28,29' -> (28, 29), '0-3' -> (0, 1, 2, 3), '2' -> (2,); None stays None.

    Raises click.BadParameter for anything else, and for a layer that is named twice.
    """
    if value is None:
        return None
    found: list[int] = []
    for part in value.split(","):
        match = re.fullmatch(r"\s*(\d{1,5})(?:\s*-\s*(\d{1,5}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last or last >= MAX_LAYER:
            raise click.BadParameter("write layer numbers, for example 28,29 or 0-31")
        found += range(first, last + 1)
    if len(set(found)) < len(found):
        raise click.BadParameter("a layer is named twice")
    return tuple(sorted(found))


def _seed(ctx: click.Context, param: click.Parameter, value: str | None) -> bytes:
    from huref_zk.invariants.sketch import PUBLIC_SEED

    return PUBLIC_SEED if value is None else parse_hex(value, "a seed")


def _demanded_seed(ctx: click.Context, param: click.Parameter, value: str | None) -> bytes | None:
    return None if value == ANY else _seed(ctx, param, value)


def _demanded_recipe(ctx: click.Context, param: click.Parameter, value: str) -> str | None:
    return None if value == ANY else value


def _digest(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    return None if value is None else parse_hex(value, "a SHA-256").hex()


def _digests(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    return tuple(parse_hex(value, "a SHA-256").hex() for value in values)


def _nonce(ctx: click.Context, param: click.Parameter, value: str | None) -> bytes | None:
    return None if value is None else parse_hex(value, "a nonce")


def _ids(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    parts = value.split(",")
    if not all(re.fullmatch(r"\s*\d{1,10}\s*", part) and int(part) < 1 << 32 for part in parts):
        raise click.BadParameter("write token ids, numbers from 0 to 2^32 - 1, with commas: 5,17,3")
    return tuple(int(part) for part in parts)


# --- a model -------------------------------------------------------------------------------------

model_argument = click.argument("model", type=REFERENCE)

reading_options = together(
    click.option("--revision", help="Revision of a hub model (a full commit hash)."),
    click.option("--allow-pickle", is_flag=True, help="Read pickled checkpoints, safely."),
    click.option(
        "--map",
        "map_file",
        type=IN,
        help="JSON file that says how to read an architecture (docs/families.md).",
    ),
)
"""How a model is read: revision, allow_pickle, map_file."""


def base_option(command: Command) -> Command:
    """--base, for commands with ``model``: it makes that the reference ADAPTER+BASE."""

    @click.option(
        "--base", help="The model that an adapter (LoRA) belongs to; MODEL is its folder."
    )
    @functools.wraps(command)
    def wrapper(*args: Any, model: str, base: str | None, **kwargs: Any) -> Any:
        return command(*args, model=f"{model}+{base}" if base else model, **kwargs)

    return cast(Command, wrapper)


tokens_option = click.option(
    "--tokens", type=IN, help="The file of token ids given to commit, if one was."
)
"""tokens: a Path or None."""

choice_options = together(
    click.option(
        "--recipe",
        type=click.Choice(RECIPES),
        default="whole",
        show_default=True,
        help="How the model becomes cores: all layers, the paper's last two, or its authors' form.",
    ),
    click.option(
        "--layers", callback=parse_layers, help="Layers to use, for example 28,29 or 0-31."
    ),
    click.option(
        "--tokens", type=IN, help="File of token ids to use instead of chosen ones, in that order."
    ),
    click.option(
        "--token-choice",
        type=click.Choice(("common", "rare")),
        default="common",
        show_default=True,
        help="Tokens learnt first, or last as in the paper.",
    ),
    click.option(
        "--count",
        type=click.IntRange(2, 1 << 16),
        default=4096,
        show_default=True,
        help="K: how many tokens.",
    ),
)
"""What of a model is fingerprinted: recipe, layers, tokens, token_choice, count."""

model_options = together(reading_options, base_option, choice_options)
"""All that invariants.prepare.prepare takes by keyword, but progress."""


# --- an owner ------------------------------------------------------------------------------------

owner_argument = click.argument("owner", type=OWNER, metavar="FOLDER")
"""owner: the folder that `commit` made."""


# --- set-up --------------------------------------------------------------------------------------

keys_option = click.option(
    "--keys",
    "cache",
    type=click.Path(path_type=Path),
    default=default_cache,
    help="Folder of derived keys and SRS files.",
)
trust_option = click.option(
    "--trust-srs",
    "trusted",
    multiple=True,
    callback=_digests,
    metavar="SHA256",
    help="Also accept the SRS file of this digest (docs/srs.md).",
)
allow_test_option = click.option(
    "--allow-test-setup",
    "allow_test",
    is_flag=True,
    help="Accept what was made under the insecure test SRS.",
)


def setup_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--keys, --trust-srs and --allow-test-setup, given to the command as one ``setup``."""

    @functools.wraps(command)
    def wrapper(
        *args: Any, cache: Path, trusted: tuple[str, ...], allow_test: bool, **kwargs: Any
    ) -> Any:
        from huref_zk.proofs.kernel import Setup

        setup: Setup = Setup(cache, trusted, allow_test)
        return command(*args, setup=setup, **kwargs)

    return together(keys_option, trust_option, allow_test_option)(wrapper)


# --- what a verifier demands ---------------------------------------------------------------------


def policy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--seed, --recipe, --layers and --tokens-digest, given to the command as one ``policy``."""

    @functools.wraps(command)
    def wrapper(
        *args: Any,
        seed: bytes | None,
        recipe: str | None,
        layers: tuple[int, ...] | None,
        tokens_digest: str | None,
        **kwargs: Any,
    ) -> Any:
        from huref_zk.proofs.kernel import Policy

        policy: Policy = Policy(seed, recipe, layers, tokens_digest)
        return command(*args, policy=policy, **kwargs)

    return together(
        click.option(
            "--seed",
            callback=_demanded_seed,
            metavar="HEX",
            help="Demand this seed, 64 hex digits, or 'any'; default: the public one.",
        ),
        click.option(
            "--recipe",
            type=click.Choice((*RECIPES, ANY)),
            default="whole",
            show_default=True,
            callback=_demanded_recipe,
            help="Demand this recipe.",
        ),
        click.option(
            "--layers",
            callback=parse_layers,
            help="Demand these layers: 28,29 or 0-31.",
        ),
        click.option(
            "--tokens-digest",
            callback=_digest,
            metavar="SHA256",
            help="Demand the token ids of this digest.",
        ),
    )(wrapper)


def commitment_option(**settings: Any) -> Decorator:
    """--commitment, given as ``expected``: a file or a root; a tuple of them with multiple=True."""
    text = settings.pop("help", "What you trust: the owner's commitment.hzc, or its root.")
    return click.option(
        "--commitment", "expected", type=REFERENCE, metavar="FILE_OR_ROOT", help=text, **settings
    )


# --- judges --------------------------------------------------------------------------------------


def nonce_option(**settings: Any) -> Decorator:
    """--nonce, given as 32 bytes or None."""
    text = "The judge's nonce, 64 hex digits, drawn after the commitment was published."
    return click.option("--nonce", callback=_nonce, metavar="HEX", help=text, **settings)


sample_option = click.option(
    "--sample", type=click.IntRange(1), help="So many rows, chosen by --nonce."
)

prompt_options = together(
    click.option("--prompt", help="The prompt, as text."),
    click.option(
        "--prompt-ids", callback=_ids, metavar="IDS", help="Or as token ids, for example 5,17,3."
    ),
    click.option("--positions", type=click.IntRange(1), help="How many positions."),
    click.option("--all-positions", is_flag=True, help="Or all of the prompt's."),
)
"""prompt, prompt_ids, positions, all_positions."""

bounds_options = together(
    click.option("--at-least", type=float, help="A bound on the similarity, from below."),
    click.option("--at-most", type=float, help="A bound on the similarity, from above."),
)
"""at_least, at_most: numbers or None."""


# --- the rest ------------------------------------------------------------------------------------

seed_option = click.option(
    "--seed",
    callback=_seed,
    metavar="HEX",
    help="Sketch seed, 64 hex digits; default: the one public seed, so that pictures compare.",
)
generator_option = click.option("--generator", type=IN, help="A StyleGAN2 generator file.")
