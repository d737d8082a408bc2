"""For every step of the verifier, a bundle that only this step refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from huref_zk.errors import InputError
from huref_zk.proofs import kernel
from huref_zk.proofs.kernel import OpenStep, Policy, Report, Setup
from huref_zk.proofs.picture import verify
from huref_zk.render.image import read_png, write_png
from tests.support.tampering import OPENING, forge

Cheat = Callable[..., tuple]


@contextmanager
def without_step(name: str) -> Iterator[None]:
    """A verifier whose step of this name refuses nothing: what it would object to is passed over,
    what it finds out for later steps is found out all the same."""
    honest, refuse, trusted = Report.step, verify.refuse_unless, verify.check_srs
    passed_over = False

    @contextmanager
    def step(self: Report, at: str) -> Iterator[OpenStep]:
        nonlocal passed_over
        with honest(self, at) as current:
            passed_over = at == name
            try:
                with suppress(InputError) if passed_over else nullcontext():
                    yield current
                if passed_over:
                    current.established("passed over")
            finally:
                passed_over = False

    def refuse_unless(holds: bool, message: str) -> None:
        refuse(holds or passed_over, message)

    def check_srs(report: Report, descriptor, setup: Setup):
        return trusted(report, descriptor, replace(setup, allow_test=True))

    with (
        patch.object(kernel.Report, "step", step),
        patch.object(verify, "refuse_unless", refuse_unless),
        patch.object(verify, "check_srs", check_srs if name == "SRS" else trusted),
    ):
        yield


# Each gives (bundle, changes of what it is judged with).


def another_root(chain, stranger, folder: Path):
    """An honest bundle of another model than the one asked about."""
    changes = {"expected": stranger.commitment_file}
    return forge(chain, claim={"root": stranger.commitment.root_hex}), changes


def test_setup(chain, stranger, folder: Path):
    """A proof under the setup whose secret is public, to somebody who did not allow that."""
    return chain.bundle, {"setup": Setup(chain.cache)}


def another_encoder(chain, stranger, folder: Path):
    """A claim about another encoder."""
    return forge(chain, claim={"encoder": "0" * 64}), {}


def another_models_rows(chain, stranger, folder: Path):
    """A true Halo2 proof, v and picture of another model's rows."""
    bundle = forge(chain, v=stranger.bundle.v, proof=stranger.bundle.proof)
    return bundle, {"image": stranger.image_file}


def another_models_v(chain, stranger, folder: Path):
    """A true projection proof, with another model's v and picture."""
    proof = chain.bundle.proof[:OPENING] + stranger.bundle.proof[OPENING:]
    bundle = forge(chain, v=stranger.bundle.v, proof=proof)
    return bundle, {"image": stranger.image_file}


def another_picture(chain, stranger, folder: Path):
    """One pixel of the picture changed."""
    pixels = read_png(chain.image_file).copy()
    pixels[-1, -1, -1] ^= 1
    write_png(folder / "other.png", pixels)
    return chain.bundle, {"image": folder / "other.png"}


def another_seed(chain, stranger, folder: Path):
    """A proof under the public seed, where a fresh one was demanded."""
    return chain.bundle, {"policy": Policy(seed=b"\x05" * 32)}


ONLY: dict[str, Cheat] = {
    "commitment": another_root,
    "SRS": test_setup,
    "circuit": another_encoder,
    "projection": another_models_rows,
    "proof": another_models_v,
    "image": another_picture,
    "policy": another_seed,
}
"""By step. What fails the first, parsing, never becomes a bundle (test_words.py, fuzz/)."""
