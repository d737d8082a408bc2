"""Saved fingerprints, `.hzf`: what is needed to recognise a model later, without its weights.

The header (files/container.py), all fields required:

    name        up to 200 printable characters, the model's name at the time
    model       its facts: text and integers, as in a commitment's descriptor
    layers      n, layers surveyed (all of the model's)
    hidden      d
    p           rows of a sketch
    seed        64 hex digits
    tokens      sizes of the groups of tokens (tokens.py), comma-separated

Sections, little-endian, F frames (frames.py):

    maps         n x 3 x F x p x p float16: sketches, each divided by a power of two
    sizes        n x 3 x F float32: those powers
    gram         2 x 2 x n x 3 x n x 3 float32 (gram.py)
    parameters   n x 7 x 32 x 32 float32 (parameters.py)
    shapes       n x 7 x 2 int32: of the matrices that these stand for
    ids          K int64
    texts        a JSON list of K strings, or nothing where the tokenizer was unknown
    v            512 int64, the published fingerprint under the same seed, or nothing where the
                 model has none

A fingerprint tells about the weights what its sketches tell. Parts are not in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from huref_zk.commitment.descriptor import token_digest
from huref_zk.comparison.frames import P, frame_names, frames_of
from huref_zk.comparison.gram import Gram
from huref_zk.comparison.opened import opened
from huref_zk.comparison.parameters import PARTS, SIDE, LayerParameters
from huref_zk.comparison.survey import Progress, Survey, survey
from huref_zk.comparison.tokens import EIGHTHS, TokenList, own_tokens
from huref_zk.errors import HurefError, InputError
from huref_zk.files.container import canonical_json, load_json, pack, read_bounded, unpack
from huref_zk.files.fields import facts, hex_digits, integer, members
from huref_zk.files.formats import FINGERPRINT
from huref_zk.files.writing import write_atomically
from huref_zk.invariants.cores import TERMS
from huref_zk.invariants.encoder import V_LENGTH
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.models.load import open_model
from huref_zk.proofs.prepare import fingerprint_vector, prepare

_BOUNDS = {"layers": 1024, "hidden": 1 << 20}
MAX_TOKENS = 1 << 16
MAX_TEXTS = 16 << 20
_FIELDS = ("name", "model", "seed", "tokens", "p", *_BOUNDS)


@dataclass(frozen=True)
class Saved:
    """survey: without parts; tokens: what it was made over; v: 512 integers or None."""

    name: str
    facts: dict[str, int | str]
    seed: bytes
    tokens: TokenList
    survey: Survey
    v: tuple[int, ...] | None

    @property
    def layers(self) -> int:
        """How many were surveyed."""
        return len(self.survey.maps)

    @property
    def token_digest(self) -> str:
        """SHA-256 hex of the token ids."""
        return token_digest(self.tokens.ids)

    @property
    def basis(self) -> str:
        """SHA-256 hex of all that a model is surveyed over: seed, p, and the tokens' ids and texts.

        Fingerprints of one basis can be compared; so can those of two whose texts are the same.
        """
        texts = self.tokens.texts
        parts = {
            "seed": self.seed.hex(),
            "p": P,
            "sizes": list(self.tokens.sizes),
            "ids": self.token_digest,
            "texts": "" if texts is None else list(texts),
        }
        return hashlib.sha256(canonical_json(parts)).hexdigest()


def make_fingerprint(
    ref: str, name: str | None = None, progress: Progress | None = None, **options
) -> Saved:
    """The fingerprint of a model under the public seed. options: as prepare takes them.

    Raises InputError as prepare does.
    """
    model = open_model(
        ref, revision=options.get("revision"), allow_pickle=options.get("allow_pickle", False)
    )
    o = opened(model, options.get("map_file"))
    tokens = own_tokens(model, o.dims.vocab)
    found = survey(o, frames_of(o, tokens.ids, tokens.sizes), None, progress)
    v: tuple[int, ...] | None
    try:
        prepared = prepare(ref, **options)
        v = tuple(fingerprint_vector(prepared.quantised, prepared.shape, PUBLIC_SEED))
        told = prepared.cores.facts
    except HurefError:  # no provable fingerprint: comparing needs none
        told, v = {"architecture": o.family.name, "hidden_size": o.dims.hidden}, None
    return Saved(name or short_name(ref), told, PUBLIC_SEED, tokens, found, v)


def short_name(ref: str) -> str:
    """What a model is called if nobody says: a file's or folder's own name, without the path to it,
    which is nobody's business; another reference as it is."""
    return Path(ref).resolve().name if Path(ref).exists() else ref


def check_name(name: object) -> None:
    """InputError for what is no name of a fingerprint."""
    if not isinstance(name, str) or not 0 < len(name) <= 200 or not name.isprintable():
        raise InputError("a fingerprint's name must be 1 to 200 printable characters")


def serialise_fingerprint(saved: Saved) -> bytes:
    """The bytes of a `.hzf` file. InputError for a name or facts that such a file cannot hold."""
    s = saved.survey
    header = {
        "name": saved.name,
        "model": saved.facts,
        "layers": saved.layers,
        "hidden": s.hidden,
        "p": P,
        "seed": saved.seed.hex(),
        "tokens": ",".join(map(str, saved.tokens.sizes)),
    }
    halves, sizes = _halved(s.maps)
    texts = b"" if saved.tokens.texts is None else _texts_json(saved.tokens.texts)
    sections = [
        halves.tobytes(),
        sizes.tobytes(),
        s.gram.halves.astype("<f4").tobytes(),
        np.array([x.sketches for x in s.parameters], dtype="<f4").tobytes(),
        np.array([x.shapes for x in s.parameters], dtype="<i4").tobytes(),
        saved.tokens.ids.astype("<i8").tobytes(),
        texts,
        b"" if saved.v is None else np.array(saved.v, dtype="<i8").tobytes(),
    ]
    _check(header, sections)  # nothing is written that could not be read again
    return pack(FINGERPRINT, header, sections)


def _halved(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(maps / 2^e in half precision, 2^e in single) with the least e that leaves all below one:
    what is read is written again as it was."""
    _, e = np.frexp(np.abs(maps).max(axis=(-1, -2), initial=0))
    for up in (0, 1):  # rounding may give one
        sizes = np.ldexp(np.float32(1), np.clip(e, -120, 120)).astype("<f4")
        halves = (maps / sizes[..., None, None]).astype("<f2")
        e = e + (np.abs(halves).max(axis=(-1, -2), initial=0) >= 1) * (1 - up)
    return halves, sizes


def digest_of(saved: Saved) -> str:
    """SHA-256 hex of the file that it makes."""
    return hashlib.sha256(serialise_fingerprint(saved)).hexdigest()


def write_fingerprint(path: Path, saved: Saved) -> None:
    """Write a `.hzf` file, whole or not at all."""
    write_atomically(path, serialise_fingerprint(saved))


def read_fingerprint(path: Path) -> Saved:
    """Read a `.hzf` file; see parse_fingerprint."""
    return parse_fingerprint(read_bounded(path, FINGERPRINT.max_bytes))


def parse_fingerprint(data: bytes) -> Saved:
    """Parse the bytes of a `.hzf` file strictly. InputError naming what is malformed."""
    header, sections = unpack(FINGERPRINT, data)
    groups = _check(header, sections)
    n, names = header["layers"], frame_names(groups)
    terms, frames = len(TERMS), len(names)
    maps = _floats(sections[0], "<f2", (n, terms, frames, P, P), "maps")
    sizes = _floats(sections[1], "<f4", (n, terms, frames), "sizes")
    gram = _floats(sections[2], "<f4", (2, 2, n, terms, n, terms), "gram")
    sketches = _floats(sections[3], "<f4", (n, len(PARTS), SIDE, SIDE), "parameters")
    shapes = np.frombuffer(sections[4], dtype="<i4").reshape(n, len(PARTS), 2)
    if shapes.min() < 0:
        raise InputError("the fingerprint's shapes are not non-negative numbers")
    ids = np.frombuffer(sections[5], dtype="<i8").astype(np.int64)
    if ids.min() < 0:
        raise InputError("the fingerprint's token ids are not non-negative numbers")
    texts, v = sections[6:]
    parameters = [
        LayerParameters(s, tuple((int(a), int(b)) for a, b in shape))
        for s, shape in zip(sketches, shapes, strict=True)
    ]
    return Saved(
        name=header["name"],
        facts=header["model"],
        seed=bytes.fromhex(header["seed"]),
        tokens=TokenList(ids, groups, _parse_texts(texts, len(ids)) if texts else None),
        survey=Survey(
            maps=maps * sizes[..., None, None],
            frames=names,
            hidden=header["hidden"],
            gram=Gram(gram),
            parameters=tuple(parameters),
        ),
        v=tuple(np.frombuffer(v, dtype="<i8").tolist()) if v else None,
    )


def _floats(data: bytes, kind: str, shape: tuple[int, ...], name: str) -> np.ndarray:
    values = np.frombuffer(data, dtype=kind).reshape(shape).astype(np.float32)
    if not np.isfinite(values).all():
        raise InputError(f"the fingerprint's {name} hold NaN or infinite numbers")
    return values


def _texts_json(texts: tuple[str, ...]) -> bytes:
    return canonical_json(list(texts))


def _parse_texts(data: bytes, count: int) -> tuple[str, ...]:
    try:
        texts = load_json(data)
    except ValueError:
        texts = None
    if not (isinstance(texts, list) and len(texts) == count) or not all(
        isinstance(text, str) for text in texts
    ):
        raise InputError(f"the fingerprint's texts are no JSON list of {count} strings")
    if _texts_json(tuple(texts)) != data:
        raise InputError("the fingerprint's texts are not in canonical form")
    return tuple(texts)


def _check(header: dict[str, Any], sections: Sequence[bytes]) -> tuple[int, ...]:
    """The sizes of the groups of tokens. InputError unless the header is right and the sections
    have the lengths that it implies."""
    members(header, _FIELDS, "the fingerprint's header")
    for name, bound in _BOUNDS.items():
        integer(header[name], f"the fingerprint's {name}", 1, bound)
    integer(header["p"], "the fingerprint's p", P, P)
    check_name(header["name"])
    hex_digits(header["seed"], "the fingerprint's seed")
    facts(header["model"], "the fingerprint's model")
    groups = _groups(header["tokens"])
    n, frames = header["layers"], len(frame_names(groups))
    pairs = n * len(TERMS) * frames
    wanted = [
        [2 * pairs * P * P],
        [4 * pairs],
        [4 * 4 * (n * len(TERMS)) ** 2],
        [4 * n * len(PARTS) * SIDE * SIDE],
        [4 * n * len(PARTS) * 2],
        [8 * sum(groups)],
        None,
        [0, 8 * V_LENGTH],
    ]
    for name, section, lengths in zip(FINGERPRINT.sections, sections, wanted, strict=True):
        if lengths is not None and len(section) not in lengths:
            raise InputError(
                f"the fingerprint's section {name} has {len(section)} bytes, not "
                + " or ".join(map(str, lengths))
            )
    if len(sections[6]) > MAX_TEXTS:
        raise InputError(f"the fingerprint's texts have more than {MAX_TEXTS} bytes")
    return groups


def _groups(value: object) -> tuple[int, ...]:
    """Sizes of the groups of tokens, as the header has them."""
    parts = value.split(",") if isinstance(value, str) and len(value) <= 80 else []
    sizes = tuple(int(p) for p in parts if p.isascii() and p.isdigit() and p[0] != "0")
    fits = len(sizes) == len(parts) and len(sizes) in (1, 1 + EIGHTHS)
    if not fits or any(size % 2 for size in sizes) or sum(sizes) > MAX_TOKENS:
        raise InputError(
            f"the fingerprint's tokens are not 1 or {1 + EIGHTHS} even numbers of at most "
            f"{MAX_TOKENS} in all"
        )
    return sizes
