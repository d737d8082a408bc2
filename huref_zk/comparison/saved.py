"""Saved fingerprints, `.hzf`: what is needed to recognise a model later, without its weights.

The header (files/container.py), all fields required:

    name        up to 200 printable characters, the model's name at the time
    model       its facts: text and integers, as in a commitment's descriptor
    layers      n, layers sketched (all of the model's)
    p           rows of a sketch
    seed        64 hex digits
    tokens      K

Sections: maps, n x 3 x p x p float32; ids, K int64; texts, a JSON list of K strings, or nothing
where the tokenizer was unknown; v, 512 int64, the published fingerprint under the same seed, or
nothing where the model has none. All little-endian. A fingerprint tells about the weights what its
sketches tell: n * 3 * p^2 numbers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from huref_zk.commitment.descriptor import token_digest
from huref_zk.comparison.layers import COMPARE_P, Opened, layer_sketches, rows_of
from huref_zk.comparison.tokens import TokenList, own_tokens
from huref_zk.errors import HurefError, InputError
from huref_zk.files.container import canonical_json, load_json, pack, read_bounded, unpack
from huref_zk.files.fields import facts, hex_digits, integer, members
from huref_zk.files.formats import FINGERPRINT
from huref_zk.files.writing import write_atomically
from huref_zk.invariants.encoder import V_LENGTH
from huref_zk.invariants.recipes import Progress
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.models.families import family_for
from huref_zk.models.layers import dimensions
from huref_zk.models.load import open_model
from huref_zk.proofs.prepare import fingerprint_vector, prepare

_BOUNDS = {"layers": 4096, "p": 64, "tokens": 1 << 16}
MAX_TEXTS = 16 << 20
_FIELDS = ("name", "model", "seed", *_BOUNDS)


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
    v: tuple[int, ...] | None
    try:
        prepared = prepare(ref, **options)
        v = tuple(fingerprint_vector(prepared.quantised, prepared.shape, PUBLIC_SEED))
        told = prepared.cores.facts
    except HurefError:  # no provable fingerprint: comparing needs none
        told, v = {"architecture": family.name, "hidden_size": dims.hidden}, None
    return Saved(name or short_name(ref), told, PUBLIC_SEED, tokens, maps, v)


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
        "name": saved.name,
        "model": saved.facts,
        "layers": len(saved.maps),
        "p": saved.maps.shape[-1],
        "seed": saved.seed.hex(),
        "tokens": len(saved.tokens.ids),
    }
    v = b"" if saved.v is None else np.array(saved.v, dtype="<i8").tobytes()
    maps, ids = saved.maps.astype("<f4").tobytes(), saved.tokens.ids.astype("<i8").tobytes()
    _check(header, maps, ids, texts, v)  # nothing is written that could not be read again
    return pack(FINGERPRINT, header, [maps, ids, texts, v])


def write_fingerprint(path: Path, saved: Saved) -> None:
    """Write a `.hzf` file, whole or not at all."""
    write_atomically(path, serialise_fingerprint(saved))


def read_fingerprint(path: Path) -> Saved:
    """Read a `.hzf` file; see parse_fingerprint."""
    return parse_fingerprint(read_bounded(path, FINGERPRINT.max_bytes))


def parse_fingerprint(data: bytes) -> Saved:
    """Parse the bytes of a `.hzf` file strictly. InputError naming what is malformed."""
    header, (maps, ids, texts, v) = unpack(FINGERPRINT, data)
    _check(header, maps, ids, texts, v)
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


def _check(header: dict[str, Any], maps: bytes, ids: bytes, texts: bytes, v: bytes) -> None:
    """InputError unless the header is right and the sections have the lengths that it implies."""
    members(header, _FIELDS, "the fingerprint's header")
    for name, bound in _BOUNDS.items():
        integer(header[name], f"the fingerprint's {name}", 1, bound)
    check_name(header["name"])
    hex_digits(header["seed"], "the fingerprint's seed")
    facts(header["model"], "the fingerprint's model")
    if header["tokens"] % 2:
        raise InputError("the fingerprint's tokens are odd in number")
    if len(texts) > MAX_TEXTS:
        raise InputError(f"the fingerprint's texts have more than {MAX_TEXTS} bytes")
    wanted = {
        "maps": (maps, [4 * 3 * header["layers"] * header["p"] ** 2]),
        "ids": (ids, [8 * header["tokens"]]),
        "v": (v, [0, 8 * V_LENGTH]),
    }
    for name, (section, sizes) in wanted.items():
        if len(section) not in sizes:
            raise InputError(
                f"the fingerprint's section {name} has {len(section)} bytes, not "
                + " or ".join(map(str, sizes))
            )
