"""What a file claims, for `huref-zk inspect`. Its magic tells its kind; nothing is judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huref_zk.cli import words
from huref_zk.errors import InputError
from huref_zk.files import formats
from huref_zk.files.container import (
    MAX_HEADER,
    VERSION,
    Format,
    parse_canonical_json,
    read_bounded,
    read_start,
)

if TYPE_CHECKING:
    from huref_zk.commitment.file import Commitment

Shown = tuple[dict[str, Any], list[str]]
"""What --json gives, and the same in lines that are safe to print."""


def describe(file: Path) -> Shown:
    """What the file claims. InputError for a malformed file, or one of no kind of ours."""
    start = read_start(file, 8)
    try:
        kind = formats.format_of(start)
        if kind is formats.WITNESS:
            claims, lines = _witness(file)
        else:
            claims, lines = _SHOW[kind](read_bounded(file, kind.max_bytes))
    except InputError as e:
        message = str(e)
        raise InputError(message if str(file) in message else f"{file}: {message}") from e
    title = f"{file}: {kind.name}. Nothing below has been verified."
    return {"kind": kind.name, **claims}, [title, *lines]


def _commitment(data: bytes) -> Shown:
    from huref_zk.commitment.file import parse_commitment

    return _committed(parse_commitment(data))


def _committed(commitment: Commitment) -> Shown:
    claims = {
        "commitment": commitment.descriptor.to_json(),
        "recomputed_root": commitment.root_hex,
    }
    return claims, words.commitment_in_words(commitment)


def _witness(file: Path) -> Shown:
    """The descriptor alone: the integers are private, and may be gigabytes."""
    from huref_zk.commitment.descriptor import parse_descriptor

    start = read_start(file, 12)
    length = int.from_bytes(start[8:12], "big")
    if len(start) < 12 or start[7] != VERSION or length > MAX_HEADER:
        raise InputError("not a witness of this version")
    header = parse_canonical_json(read_start(file, 12 + length)[12:])
    descriptor = parse_descriptor(header.get("descriptor"))
    lines = [
        "private: it holds what the owner committed to",
        *words.descriptor_in_words(descriptor),
    ]
    return {"commitment": descriptor.to_json()}, lines


def _bundle(data: bytes) -> Shown:
    from huref_zk.proofs.picture.file import parse_bundle

    bundle = parse_bundle(data)
    claims, lines = _commitment(bundle.commitment)
    return {**claims, "bundle": asdict(bundle.claim)}, [*lines, *words.bundle_in_words(bundle)]


def _pair(data: bytes) -> Shown:
    from huref_zk.cli.similarity import bounds_data
    from huref_zk.proofs.similarity.file import parse_bundle

    bundle = parse_bundle(data)
    claims: dict[str, Any] = {"bundle": asdict(bundle.claim), **bounds_data(bundle.claim.bounds)}
    lines = words.pair_in_words(bundle)
    roots = bundle.claim.roots
    for name, root, part in zip(("first", "second"), roots, bundle.commitments, strict=True):
        claims[name], inside = _commitment(part)
        lines.append(f"{name} model; the file claims root {root}")
        lines += [f"  {line}" for line in inside]
    return claims, lines


def _opening(data: bytes) -> Shown:
    from huref_zk.proofs.opening.file import parse_opening
    from huref_zk.proofs.opening.rows import name
    from huref_zk.proofs.opening.verify import roots

    opening = parse_opening(data)
    _, root = next(roots(opening))
    assert root is not None  # the file's format gives every path its length
    claims = {
        "commitment": opening.descriptor.to_json(),
        "root_of_first_row": f"{root:064x}",
        "rows": [name(place) for place in opening.places],
    }
    return claims, words.opening_in_words(opening, root)


def _audit(data: bytes) -> Shown:
    from huref_zk.proofs.inference.file import parse_audit

    audit, commitment = parse_audit(data)
    claims, lines = _committed(commitment)
    claims |= {"audit": audit.head.to_json(), "prompt_ids": list(audit.ids)}
    return claims, [*lines, *words.audit_in_words(audit)]


def _fingerprint(data: bytes) -> Shown:
    from huref_zk.comparison.saved import parse_fingerprint

    saved = parse_fingerprint(data)
    claims = {
        "name": saved.name,
        "model": saved.facts,
        "layers": saved.layers,
        "frames": list(saved.survey.frames),
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


_SHOW: dict[Format, Callable[[bytes], Shown]] = {
    formats.COMMITMENT: _commitment,
    formats.BUNDLE: _bundle,
    formats.SIMILARITY: _pair,
    formats.OPENING: _opening,
    formats.AUDIT: _audit,
    formats.FINGERPRINT: _fingerprint,
}
