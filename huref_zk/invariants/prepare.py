"""From a model's name to its fingerprint vector, and to its commitment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from huref_zk.circuit.encoder import P, encode_exact, load_encoder
from huref_zk.circuit.shape import Shape, shape_for
from huref_zk.commitment.file import Commitment, commit, token_digest
from huref_zk.errors import InputError
from huref_zk.files.container import load_json, read_bounded
from huref_zk.invariants.canonical import Canonical, canonicalise
from huref_zk.invariants.quantise import Quantised, integer_maps, quantise
from huref_zk.invariants.sketch import sketch
from huref_zk.models.families import family_for
from huref_zk.models.load import open_model
from huref_zk.srs.file import Srs

Progress = Callable[[int, int], None]
MAX_TOKEN_FILE = 64 << 20


@dataclass(frozen=True)
class Prepared:
    """A model ready to be fingerprinted, committed to or proven."""

    canonical: Canonical
    quantised: Quantised
    shape: Shape
    warnings: tuple[str, ...]


def prepare(
    ref: str,
    *,
    revision: str | None = None,
    allow_pickle: bool = False,
    layers: tuple[int, ...] | None = None,
    tokens: Path | None = None,
    count: int = 4096,
    map_file: Path | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Open, canonicalise and quantise a model. Options as on the command line. InputError."""
    model = open_model(ref, revision=revision, allow_pickle=allow_pickle)
    canonical = canonicalise(
        model,
        layer_ids=layers,
        tokens=count,
        token_ids=None if tokens is None else read_token_file(tokens),
        family=family_for(model, map_file),
        progress=progress,
    )
    shape = shape_for(canonical.widths, len(canonical.token_ids), canonical.facts["hidden_size"])
    quantised = quantise(canonical, shape.shift)
    warnings = list(canonical.warnings)
    if quantised.clipped:
        warnings.append(f"{quantised.clipped} weights were clipped to 15 bits")
    return Prepared(canonical, quantised, shape, tuple(warnings))


def sketch_of(prepared: Prepared, seed: bytes) -> np.ndarray:
    """The float sketch (6, 16, 16) of a prepared model, for comparing."""
    return sketch(prepared.canonical, seed, P)


def fingerprint_vector(prepared: Prepared, seed: bytes) -> list[int]:
    """v, exactly as a proof publishes it: 512 integers."""
    maps = integer_maps(prepared.quantised, seed, P)
    return encode_exact(load_encoder(), maps, prepared.shape.shift)


def commit_model(
    prepared: Prepared, secret: bytes, srs: Srs, progress: Progress | None = None
) -> Commitment:
    """Commit to a prepared model with a 32-byte secret."""
    c = prepared.canonical
    facts = {
        "model": c.facts,
        "layers": list(c.layer_ids),
        "widths": list(c.widths),
        "tokens": {"count": len(c.token_ids), "digest": token_digest(c.token_ids)},
        "scales": prepared.quantised.scales,
    }
    return commit(prepared.quantised, facts, secret, srs, progress=progress)


def read_token_file(path: Path) -> list[int]:
    """Token ids from a JSON list or one a line, in the file's order (rarest first); at least one.

    InputError for anything else.
    """
    data = read_bounded(path, MAX_TOKEN_FILE)
    try:
        ids = load_json(data) if data.lstrip()[:1] == b"[" else [int(x) for x in data.split()]
    except ValueError:
        raise InputError(f"{path} is neither a JSON list of token ids nor one id a line") from None
    if not all(type(i) is int for i in ids):
        raise InputError(f"{path} holds entries that are no integers")
    if not ids:
        raise InputError(f"{path} holds no token ids")
    return ids
