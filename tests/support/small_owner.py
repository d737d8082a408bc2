"""Owners of random models, far too small for the circuit: 64 tokens, hidden size 6, 2^8 rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from huref_zk.commitment.commit import Owner, checkpoint_salt, commit
from huref_zk.commitment.descriptor import CORE_SETS, Audited, token_digest
from huref_zk.commitment.file import write_commitment
from huref_zk.commitment.secret import create_secret
from huref_zk.commitment.witness import Witness, make_witness, write_witness
from huref_zk.srs.file import Srs
from huref_zk.srs.insecure import insecure_srs

SECRET = bytes(range(32))
K, D = 64, 6
AUDITED = (Audited(layer=1, attention=4, ffn=7),)
BITS = 8


def small_srs(folder: Path) -> Srs:
    """The insecure test SRS for 2^8 rows, made in ``folder``."""
    return Srs.open(insecure_srs(BITS, folder / f"kzg{BITS}.test.srs"))


def small_witness(
    srs: Srs,
    recipe: str = "whole",
    seed: int = 1,
    *,
    audited: tuple[Audited, ...] = (),
    output: bool = False,
    public: bool = False,
    count: int = K,
    hidden: int = D,
    size: int = 300,
) -> Witness:
    """Random integers below ``size`` in magnitude, and what goes with them."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return rng.integers(1 - size, size, shape).astype(np.int16)

    facts = {
        "recipe": recipe,
        "model": {"architecture": "small", "hidden_size": hidden},
        "layers": [0, 1, 2],
        "tokens": {"count": count, "digest": token_digest(range(count)), "choice": "given"},
        "scales": {"E": "128.0"},
    }
    more = {}
    for part in audited:
        qk, ffn = (hidden, 2 * part.attention), (hidden, part.ffn)
        shapes = dict.fromkeys(("qv", "ko"), qk) | dict.fromkeys(("up", "gate", "down"), ffn)
        for name, shape in shapes.items():
            more[f"{name}{part.layer}"] = draw(*shape)
    if output:
        more["O"] = draw(count, hidden)
    return make_witness(
        facts,
        draw(count, hidden),
        [draw(3, hidden, hidden) for _ in CORE_SETS[recipe]],
        srs,
        rng.bytes(32),
        checkpoint_salt(None if public else SECRET),
        more,
        audited,
        public,
    )


def small_owner(srs: Srs, recipe: str = "whole", seed: int = 1, **options) -> Owner:
    """The owner of small_witness(...), under SECRET; a public one has no secret."""
    witness = small_witness(srs, recipe, seed, **options)
    secret = None if witness.descriptor.public else SECRET
    return Owner(commit(witness, secret, srs, 1), witness, secret)


def write_owner(folder: Path, owner: Owner) -> Path:
    """The folder as `huref-zk commit` leaves it."""
    write_commitment(folder / "commitment.hzc", owner.commitment)
    write_witness(folder / "witness.hzw", owner.witness)
    if owner.secret is not None:
        create_secret(folder / "secret.key", owner.secret)
    return folder
