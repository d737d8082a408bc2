"""The ceremonies whose files are known, and how a file is recognised as one of theirs.

A ceremony is its tau, and tau G2 pins tau. A file that ends with a known tau G2 and has the right
structure (structure.py) holds the powers and Lagrange points of that tau: every byte of it follows
from k and tau G2. So one pinned point stands for the files of a ceremony of every size, whether
they were published as halo2 raw files or were cut out of a .ptau. A file whose digest is listed
needs no check of its structure.

The check takes seconds in plain Python (k = 14: about five), so its verdict is kept beside the file
in the key folder (`kzg14.srs.recognised`: the digest of the file that was checked). Believing that
note is believing whoever can write to the key folder, as one does already for the verifying keys in
it; a forged note cannot pass off another tau all the same, since tau G2 is compared each time.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from huref_zk.curve.encoding import encode_raw
from huref_zk.curve.group import GENERATOR
from huref_zk.curve.pairing import G2_GENERATOR, encode_raw_g2
from huref_zk.errors import InputError
from huref_zk.files.container import load_json, read_bounded
from huref_zk.files.writing import write_atomically
from huref_zk.srs.layout import G1_BYTES, HEAD_BYTES, g2_points, read_k, read_stretch
from huref_zk.srs.structure import CHECK_MAX_K, Progress, check_structure

NOTE_SUFFIX = ".recognised"
_MAX_NOTE = 4096


@dataclass(frozen=True)
class Ceremony:
    """One ceremony. tau_g2: 128 raw bytes; raw_sha256: hex digests of its files, by k."""

    name: str
    tau_g2: bytes
    raw_sha256: dict[int, str]


@functools.cache
def ceremonies() -> tuple[Ceremony, ...]:
    """Every ceremony that this program knows (data/ceremonies.json says where from)."""
    data = resources.files("huref_zk").joinpath("data", "ceremonies.json")
    return tuple(
        Ceremony(
            entry["name"],
            bytes.fromhex(entry["tau_g2"]),
            {int(k): digest for k, digest in entry["raw_sha256"].items()},
        )
        for entry in json.loads(data.read_text(encoding="utf-8"))["ceremonies"]
    )


def listed(k: int, sha256: str) -> Ceremony | None:
    """The ceremony whose file for domain 2^k is listed with this SHA-256 (hex)."""
    return next((c for c in ceremonies() if c.raw_sha256.get(k) == sha256), None)


def listed_for_some_k(sha256: str) -> bool:
    """Whether this SHA-256 (hex) is listed at all."""
    return any(sha256 in ceremony.raw_sha256.values() for ceremony in ceremonies())


def anchored(path: str | os.PathLike[str]) -> Ceremony | None:
    """The ceremony whose tau G2 stands in an SRS file, if the file starts from both generators.

    Says nothing of the file's other points. InputError when it is not an SRS file.
    """
    k = read_k(path)
    generator, tau_g2 = g2_points(path, k)
    first_power = read_stretch(path, HEAD_BYTES, G1_BYTES)
    if generator != encode_raw_g2(G2_GENERATOR) or first_power != encode_raw(GENERATOR):
        return None
    return next((c for c in ceremonies() if c.tau_g2 == tau_g2), None)


def recognise(
    path: str | os.PathLike[str], sha256: str, progress: Progress | None = None
) -> Ceremony | None:
    """The ceremony whose file this is, from its digest (hex), else from tau G2 and structure.

    Takes a note beside the file for an answer. None for a file without a known tau G2, and for one
    too large to be checked (k > structure.CHECK_MAX_K). Raises InputError for a file that has a
    ceremony's tau G2 and another structure: somebody made it to deceive, or it is damaged.
    """
    k = read_k(path)
    found = listed(k, sha256)
    if found is not None:
        return found
    found = anchored(path)
    if found is None or k > CHECK_MAX_K:
        return None
    if not noted(path, sha256):
        try:
            check_structure(path, progress)
        except InputError as error:
            raise InputError(
                f"tau G2 is that of the ceremony {found.name}, but the file is not: {error}"
            ) from error
    return found


def noted(path: str | os.PathLike[str], sha256: str) -> bool:
    """Whether a note beside an SRS file says that the file of this digest (hex) was checked."""
    try:
        note = load_json(read_bounded(_note(path), _MAX_NOTE))
    except (InputError, ValueError):
        return False
    return bool(note == {"sha256": sha256, "structure": "checked"})


def remember(path: str | os.PathLike[str], sha256: str) -> None:
    """Note beside an SRS file that its structure was found right, so that it is not checked again.

    Where nothing can be written nothing is noted; the check is made anew then.
    """
    note = json.dumps({"sha256": sha256, "structure": "checked"}, sort_keys=True)
    with contextlib.suppress(InputError, OSError):
        write_atomically(_note(path), note.encode() + b"\n")


def forget(path: str | os.PathLike[str]) -> None:
    """Remove the note beside an SRS file, if there is one."""
    with contextlib.suppress(OSError):
        os.unlink(_note(path))


def _note(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    return path.with_name(path.name + NOTE_SUFFIX)
