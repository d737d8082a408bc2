"""From a witness to its public commitment, resumable; and the owner's folder that keeps it all.

commitment.hzc   public
secret.key       32 random bytes, 0600; not there for a public model
witness.hzw      the committed integers, 0600
journal          while `commit` runs: points of the blocks of rows that are done
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huref_zk.commitment import kzg
from huref_zk.commitment.descriptor import Descriptor
from huref_zk.commitment.file import Commitment, make_commitment, read_commitment
from huref_zk.commitment.journal import Journal
from huref_zk.commitment.salts import salt_key
from huref_zk.commitment.secret import read_secret
from huref_zk.commitment.witness import Witness, check_matrices, read_witness
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import Point
from huref_zk.errors import InputError
from huref_zk.srs.file import Srs

Progress = Callable[[int, int], None]
NOT_THIS_MODEL = (
    "commitment, witness and secret do not belong together; use the files that one 'commit' wrote"
)


@dataclass(frozen=True)
class Owner:
    """What an owner's folder holds; secret: None for a public model."""

    commitment: Commitment
    witness: Witness
    secret: bytes | None

    @property
    def descriptor(self) -> Descriptor:
        return self.commitment.descriptor


def commit(
    witness: Witness,
    secret: bytes | None,
    srs: Srs,
    processes: int | None = None,
    progress: Progress | None = None,
    journal: Path | None = None,
) -> Commitment:
    """Commit to ``witness`` under the owner's 32-byte secret (None: a public model).

    The same inputs give the same commitment. Works in child processes (default: one a core);
    ``progress`` hears (blocks of rows done, blocks). With ``journal``, a file, the points of
    finished blocks are kept there, and a later call with the same inputs goes on after them; it is
    removed at the end. InputError when witness, secret and SRS do not fit together.
    """
    descriptor = witness.descriptor
    check_matrices(descriptor, witness.matrices)
    _check_srs(descriptor, srs)
    key = witness.key(secret)
    parts = [
        kzg.Rows(m.name, m.rows, witness.values, _salts_of(witness, key))
        for m in descriptor.matrices
    ]
    kept = None if journal is None else Journal(journal, _journal_label(witness, key))
    points = kzg.commit_rows(srs, parts, processes, progress, kept)
    made = make_commitment(descriptor, points, processes)
    if kept is not None:
        kept.remove()
    return made


def _journal_label(witness: Witness, key: bytes | None) -> bytes:
    """Binds integers, descriptor and secret: points of anything else must never be taken up."""
    descriptor = witness.descriptor.to_bytes()
    bound = key or salt_key(bytes(32), witness.matrices, descriptor)
    return hashlib.sha256(b"huref-zk journal 2" + bound).digest()


def _salts_of(witness: Witness, key: bytes | None) -> Callable[[str, range], list[list[int]]]:
    return lambda name, rows: witness.salts(key, name, rows)


def read_owner(folder: Path) -> Owner:
    """What an owner's folder holds. InputError when a file is missing, malformed, or another's."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give the one that 'commit --out' made")
    commitment = read_commitment(folder / "commitment.hzc")
    witness = read_witness(folder / "witness.hzw")
    if witness.descriptor != commitment.descriptor:
        raise InputError(f"{folder}: {NOT_THIS_MODEL}")
    secret = None if commitment.descriptor.public else read_secret(folder / "secret.key")
    return Owner(commitment, witness, secret)


def check_owner(owner: Owner, srs: Srs) -> None:
    """Recommit to the first and the last row of each matrix. InputError when one differs."""
    _check_srs(owner.descriptor, srs)
    key = owner.witness.key(owner.secret)
    longest = max(m.columns + m.salts for m in owner.descriptor.matrices)
    generators = srs.lagrange(0, longest)
    for m in owner.descriptor.matrices:
        for row in {0, m.rows - 1}:
            if (
                commit_row(owner.witness, key, m.name, row, generators)
                != (owner.commitment.points[m.name][row])
            ):
                raise InputError(NOT_THIS_MODEL)


def commit_row(
    witness: Witness, key: bytes | None, name: str, row: int, generators: list[Point]
) -> Point:
    """The commitment to one row, in plain arithmetic. generators: the SRS's first points."""
    values = witness.values(name, row, row + 1)[0].tolist()
    entries = values + witness.salts(key, name, range(row, row + 1))[0]
    return bn254.msm(generators[: len(entries)], entries)


def _check_srs(descriptor: Descriptor, srs: Srs) -> None:
    if (srs.k, srs.sha256) != (descriptor.srs.k, descriptor.srs.sha256):
        raise InputError("the commitment is under another SRS than the one given")


def checkpoint_salt(secret: bytes | None) -> bytes:
    """The salt of the checkpoint's digest: random to everybody but the owner; zeros without a
    secret, so that everybody finds the same digest of a public model."""
    if secret is None:
        return bytes(32)
    return hashlib.shake_256(b"huref-zk checkpoint salt 2" + secret).digest(32)
