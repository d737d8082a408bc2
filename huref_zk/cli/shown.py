"""What a file claims, for `huref-zk inspect`. Its magic tells its kind; nothing is judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huref_zk.cli import words
from huref_zk.cli.similarity import bounds_data
from huref_zk.commitment import file as hzc
from huref_zk.commitment.file import Commitment
from huref_zk.comparison import saved as hzf
from huref_zk.errors import InputError
from huref_zk.files.container import read_bounded, read_start
from huref_zk.proofs.inference import file as hza
from huref_zk.proofs.opening import file as hzo
from huref_zk.proofs.opening.rows import name
from huref_zk.proofs.opening.verify import roots
from huref_zk.proofs.picture import file as hzp
from huref_zk.proofs.similarity import file as hzs

Shown = tuple[dict[str, Any], list[str]]
"""What --json gives, and the same in lines that are safe to print."""


@dataclass(frozen=True)
class Kind:
    """One kind of file: its name, magic and largest size, and how to show its bytes."""

    name: str
    magic: bytes
    limit: int
    show: Callable[[bytes], Shown]

    def begins(self, start: bytes) -> bool:
        """Whether 8 bytes are this magic, of whatever version where the last byte is one."""
        return start.startswith(self.magic.rstrip(b"\x01"))


def describe(file: Path) -> Shown:
    """What the file claims. InputError for a malformed file, or one of no kind of ours."""
    start = read_start(file, 8)
    for kind in KINDS:
        if kind.begins(start):
            claims, lines = kind.show(read_bounded(file, kind.limit))
            title = f"{file}: {kind.name}. Nothing below has been verified."
            return {"kind": kind.name, **claims}, [title, *lines]
    raise InputError(f"{file} is no file of this program: it starts with other bytes")


def _commitment(data: bytes) -> Shown:
    return _committed(hzc.parse_commitment(data))


def _committed(commitment: Commitment) -> Shown:
    claims = {"commitment": commitment.descriptor, "recomputed_root": commitment.root_hex}
    return claims, words.commitment_in_words(commitment)


def _bundle(data: bytes) -> Shown:
    bundle = hzp.parse_bundle(data)
    claims, lines = _commitment(bundle.commitment)
    return {**claims, "bundle": bundle.header}, [*lines, *words.bundle_in_words(bundle)]


def _pair(data: bytes) -> Shown:
    bundle = hzs.parse_bundle(data)
    claims: dict[str, Any] = {"bundle": bundle.header, **bounds_data(bundle.bounds)}
    lines = words.pair_in_words(bundle)
    for model, part in zip(hzs.MODELS, bundle.commitments, strict=True):
        claims[model], inside = _commitment(part)
        lines.append(f"{model} model; the file claims root {bundle.header[f'{model}_root']}")
        lines += [f"  {line}" for line in inside]
    return claims, lines


def _fingerprint(data: bytes) -> Shown:
    saved = hzf.parse_fingerprint(data)
    claims = {
        "name": saved.name,
        "model": saved.facts,
        "layers": len(saved.maps),
        "p": saved.maps.shape[-1],
        "seed": saved.seed.hex(),
        "tokens": {
            "count": len(saved.tokens.ids),
            "digest": saved.token_digest,
            "texts": saved.tokens.texts is not None,
        },
        "basis": saved.basis,
        "v": saved.v,
    }
    return claims, words.fingerprint_in_words(saved)


def _opening(data: bytes) -> Shown:
    opening = hzo.parse_opening(data)
    _, root = next(roots(opening))
    assert root is not None  # the file's format gives every path its length
    claims = {
        "commitment": opening.descriptor,
        "root_of_first_row": f"{root:064x}",
        "rows": [name(place) for place in opening.places],
    }
    return claims, words.opening_in_words(opening, root)


def _audit(data: bytes) -> Shown:
    audit, commitment = hza.parse_audit(data)
    claims, lines = _committed(commitment)
    claims |= {"audit": audit.header, "prompt_ids": list(audit.ids)}
    return claims, [*lines, *words.audit_in_words(audit)]


KINDS = (
    Kind("commitment", hzc.MAGIC, hzc.MAX_BYTES, _commitment),
    Kind("proof bundle", hzp.MAGIC, hzp.MAX_BYTES, _bundle),
    Kind("proof of similarity", hzs.MAGIC, hzs.MAX_BYTES, _pair),
    Kind("saved fingerprint", hzf.MAGIC, hzf.MAX_BYTES, _fingerprint),
    Kind("opening of rows", hzo.MAGIC, hzo.MAX_BYTES, _opening),
    Kind("inference audit", hza.MAGIC, hza.MAX_BYTES, _audit),
)
