"""Saved fingerprints, `.hzf`: what is needed to recognise a model later, without its weights.

Container (container.py), magic b"HUREFFP" and version 1; header, all fields required:

    format      "huref-zk fingerprint 1"
    name        up to 200 printable characters, the model's name at the time
    model       its facts: text and integers, as in a commitment's descriptor
    layers      n, layers sketched (all of the model's)
    p           rows of a sketch
    seed        64 hex digits
    tokens      K
    texts_bytes length of the section of that name, 0 where the tokenizer was unknown
    v_entries   512, or 0 where the model has no provable shape

Sections: maps, n x 3 x p x p float32; ids, K int64; texts, a JSON list of K strings; v, int64. All
little-endian. A fingerprint tells about the weights what its sketches tell: n * 3 * p^2 numbers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from huref_zk.circuit.encoder import V_LENGTH
from huref_zk.commitment.file import token_digest
from huref_zk.comparison.layers import COMPARE_P, Opened, layer_sketches, rows_of
from huref_zk.comparison.tokens import TokenList, own_tokens
from huref_zk.errors import HurefError, InputError
from huref_zk.files.container import (
    canonical_json,
    load_json,
    pack_container,
    read_bounded,
    read_container,
    write_atomically,
)
from huref_zk.invariants.canonical import Progress, dimensions
from huref_zk.invariants.prepare import fingerprint_vector, prepare
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.models.families import family_for
from huref_zk.models.load import open_model

MAGIC = b"HUREFFP\x01"
FORMAT = "huref-zk fingerprint 1"
MAX_BYTES = 256 << 20
_BOUNDS = {"layers": 4096, "p": 64, "tokens": 1 << 16, "texts_bytes": 16 << 20}


@dataclass(frozen=True)
class Saved:
    """maps: float32 (n, 3, p, p); tokens: what they were made over; v: 512 integers or None."""

    name: str
    facts: dict[str, int | str]
    seed: bytes
    tokens: TokenList
    maps: np.ndarray
    v: tuple[int, ...] | None

    @property
    def token_digest(self) -> str:
        """SHA-256 hex of the token ids."""
        return token_digest(self.tokens.ids)

    @property
    def basis(self) -> str:
        """SHA-256 hex of all that a model is sketched over: seed, p, and the tokens' ids and texts.

        Fingerprints of one basis can be compared; so can those of two whose texts are the same.
        """
        texts = self.tokens.texts
        parts = {
            "seed": self.seed.hex(),
            "p": self.maps.shape[-1],
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
    family = family_for(model, options.get("map_file"))
    dims = dimensions(model, family)
    tokens = own_tokens(model, dims.vocab)
    opened = Opened(model, family, dims, rows_of(model, family, tokens.ids))
    maps, _ = layer_sketches(opened, PUBLIC_SEED, COMPARE_P, progress=progress)
    try:
        prepared = prepare(ref, **options)
        facts, v = prepared.canonical.facts, tuple(fingerprint_vector(prepared, PUBLIC_SEED))
    except HurefError:  # no provable shape: comparing needs none
        facts, v = {"architecture": family.name, "hidden_size": dims.hidden}, None
    return Saved(name or short_name(ref), facts, PUBLIC_SEED, tokens, maps, v)


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
    texts = b"" if saved.tokens.texts is None else _texts_json(saved.tokens.texts)
    header = {
        "format": FORMAT,
        "name": saved.name,
        "model": saved.facts,
        "layers": len(saved.maps),
        "p": saved.maps.shape[-1],
        "seed": saved.seed.hex(),
        "tokens": len(saved.tokens.ids),
        "texts_bytes": len(texts),
        "v_entries": 0 if saved.v is None else V_LENGTH,
    }
    _lengths(header)  # nothing is written that could not be read again
    v = b"" if saved.v is None else np.array(saved.v, dtype="<i8").tobytes()
    sections = [saved.maps.astype("<f4").tobytes(), saved.tokens.ids.astype("<i8").tobytes()]
    return pack_container(MAGIC, header, [*sections, texts, v])


def write_fingerprint(path: Path, saved: Saved) -> None:
    """Write a `.hzf` file, whole or not at all."""
    write_atomically(path, serialise_fingerprint(saved))


def read_fingerprint(path: Path) -> Saved:
    """Read a `.hzf` file; see parse_fingerprint."""
    return parse_fingerprint(read_bounded(path, MAX_BYTES))


def parse_fingerprint(data: bytes) -> Saved:
    """Parse the bytes of a `.hzf` file strictly. InputError naming what is malformed."""
    header, (maps, ids, texts, v) = read_container(data, MAGIC, _lengths)
    p = header["p"]
    sketches = np.frombuffer(maps, dtype="<f4").reshape(header["layers"], 3, p, p)
    if not np.isfinite(sketches).all():
        raise InputError("the fingerprint's maps hold NaN or infinite numbers")
    numbers = np.frombuffer(ids, dtype="<i8").astype(np.int64)
    if len(np.unique(numbers)) != len(numbers) or numbers.min() < 0:
        raise InputError("the fingerprint's token ids are not distinct non-negative numbers")
    return Saved(
        name=header["name"],
        facts=header["model"],
        seed=bytes.fromhex(header["seed"]),
        tokens=TokenList(numbers, _parse_texts(texts, header["tokens"]) if texts else None),
        maps=sketches.astype(np.float32),
        v=tuple(np.frombuffer(v, dtype="<i8").tolist()) if v else None,
    )


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


def _lengths(header: dict) -> list[int]:
    fields = {"format", "name", "model", "seed", "v_entries", *_BOUNDS}
    if header.keys() != fields or header["format"] != FORMAT:
        raise InputError(f"the header is not that of a {FORMAT!r}")
    for name, bound in _BOUNDS.items():
        value = header[name]
        if type(value) is not int or not (name != "texts_bytes") <= value <= bound:
            raise InputError(f"the fingerprint's {name} must be an integer up to {bound}")
    seed, facts = header["seed"], header["model"]
    check_name(header["name"])
    if not isinstance(seed, str) or len(seed) != 64 or set(seed) - set("0123456789abcdef"):
        raise InputError("the fingerprint's seed must be 64 lower-case hex digits")
    if not isinstance(facts, dict) or len(facts) > 32:
        raise InputError("the fingerprint's model must be an object of at most 32 facts")
    for value in facts.values():
        if type(value) is not int and not (isinstance(value, str) and len(value) <= 200):
            raise InputError("the fingerprint's model facts must be integers or short texts")
    if header["v_entries"] not in (0, V_LENGTH) or header["tokens"] % 2:
        raise InputError(f"v has 0 or {V_LENGTH} entries, and the tokens are even in number")
    maps = 4 * 3 * header["layers"] * header["p"] ** 2
    return [maps, 8 * header["tokens"], header["texts_bytes"], 8 * header["v_entries"]]
