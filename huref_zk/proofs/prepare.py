"""From a model's name to what is committed to: cores, integers, the shape of their circuit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from huref_zk.circuit.shape import Shape, shape_for
from huref_zk.commitment.descriptor import token_digest
from huref_zk.errors import InputError
from huref_zk.files.container import canonical_json, load_json, read_bounded
from huref_zk.invariants.encoder import encode_exact, load_encoder
from huref_zk.invariants.quantise import Quantised, integer_maps, quantise
from huref_zk.invariants.recipes import Cores, compute_cores
from huref_zk.invariants.sketch import sketch
from huref_zk.invariants.tokens import TOKENS
from huref_zk.models.families import family_for
from huref_zk.models.load import open_model
from huref_zk.models.model import Model

Progress = Callable[[int, int], None]
MAX_TOKEN_FILE = 64 << 20


@dataclass(frozen=True)
class Prepared:
    """A model ready to be fingerprinted, committed to or proven. warnings: those of the cores, and
    of making them integers."""

    cores: Cores
    quantised: Quantised
    shape: Shape
    warnings: tuple[str, ...]


def prepare(
    ref: str | Path,
    *,
    recipe: str = "whole",
    layers: tuple[int, ...] | None = None,
    tokens: Path | None = None,
    count: int = TOKENS,
    token_choice: str = "common",
    map_file: Path | None = None,
    revision: str | None = None,
    allow_pickle: bool = False,
    progress: Progress | None = None,
) -> Prepared:
    """Open a model, compute its cores (recipes.py) and make them integers.

    ref, revision, allow_pickle: as open_model takes them. tokens: a file of token ids, instead of a
    choice. count: K. map_file: how to read an architecture that the table lacks. progress hears
    (done, total) layers. Raises InputError.
    """
    model = open_model(str(ref), revision=revision, allow_pickle=allow_pickle)
    cores = compute_cores(
        model,
        family=family_for(model, map_file),
        recipe=recipe,
        layers=layers,
        tokens=count,
        token_ids=None if tokens is None else read_token_file(tokens),
        token_choice=token_choice,
        progress=progress,
    )
    shape = shape_for(cores.X.shape[1])
    quantised = quantise(cores, shape.shift)
    warnings = list(cores.warnings)
    if quantised.clipped:
        warnings.append(f"{quantised.clipped} entries were clipped to 15 bits")
    return Prepared(cores, quantised, shape, tuple(warnings))


def sketch_of(prepared: Prepared, seed: bytes) -> np.ndarray:
    """The float sketch (6, 16, 16) of a prepared model, for comparing."""
    return sketch(prepared.cores, seed)


def fingerprint_vector(quantised: Quantised, shape: Shape, seed: bytes) -> list[int]:
    """v, exactly as a proof publishes it: 512 integers."""
    return encode_exact(load_encoder(), integer_maps(quantised, seed), shape.shift)


def facts_of(prepared: Prepared) -> dict[str, Any]:
    """What a commitment's descriptor tells: recipe, layers, model (facts), tokens {count, digest,
    choice}, scales."""
    c = prepared.cores
    return {
        "recipe": c.recipe,
        "layers": list(c.layer_ids),
        "model": dict(c.facts),
        "tokens": {
            "count": len(c.token_ids),
            "digest": token_digest(c.token_ids),
            "choice": c.token_choice,
        },
        "scales": dict(prepared.quantised.scales),
    }


def checkpoint_digest(model: Model, salt: bytes, progress: Progress | None = None) -> bytes:
    """32 bytes: SHA-256 over the salt and every tensor of the checkpoint.

    In the order of their names, each as one line of canonical JSON [name, shape, type] and its
    bytes as the checkpoint stores them (as float32 where those are not at hand). Whoever has model
    and salt can check it; without the salt it tells nothing. progress hears (done, total) tensors.
    Raises InputError where the tensors cannot be listed, or the salt has not 32 bytes.
    """
    if len(salt) != 32:
        raise InputError("the salt of a checkpoint's digest has 32 bytes")
    h = hashlib.sha256(b"huref_zk checkpoint" + salt)
    names = sorted(model.names())
    for done, name in enumerate(names):
        kind, pieces = model.stored(name)
        h.update(canonical_json([name, list(model.shape(name)), kind]) + b"\n")
        for piece in pieces:
            h.update(piece)
        if progress is not None:
            progress(done + 1, len(names))
    return h.digest()


def read_token_file(path: Path) -> list[int]:
    """Token ids from a JSON list or one a line, in the file's order; at least one.

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
