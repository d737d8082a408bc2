"""For every step of the verifier, a bundle that only this step refuses."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from unittest.mock import patch

from huref_zk.proofs.picture import verify
from huref_zk.proofs.picture.verify import Policy
from huref_zk.render.image import read_png, write_png
from tests.support.tampering import OPENING, forge


def without_step(number: int) -> AbstractContextManager:
    """A verifier that leaves one of its steps 1 to 7 out."""
    if number == 4:
        return patch.object(verify, "verify_projection", lambda *_: None)
    if number == 5:
        return patch.object(verify, "_check_proof", lambda *_: None)
    honest = verify.require

    def step(at: int, holds: bool, message: str) -> None:
        honest(at, holds or at == number, message)

    return patch.object(verify, "require", step)


# Each gives (bundle, changes of what it is judged with).


def another_root(chain, stranger, folder: Path):
    """An honest bundle of another model than the one asked about."""
    changes = {"expected": stranger.commitment_file}
    return forge(chain, header={"root": stranger.commitment.root_hex}), changes


def test_setup(chain, stranger, folder: Path):
    """A proof under the setup whose secret is public, to somebody who did not allow that."""
    return chain.bundle, {"policy": Policy()}


def another_encoder(chain, stranger, folder: Path):
    """A claim about another encoder."""
    return forge(chain, header={"encoder": "0" * 64}), {}


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
    return chain.bundle, {"policy": Policy(b"\x05" * 32, allow_test_setup=True)}


ONLY = {
    1: another_root,
    2: test_setup,
    3: another_encoder,
    4: another_models_rows,
    5: another_models_v,
    6: another_picture,
    7: another_seed,
}

__all__ = ["ONLY", "without_step"]
