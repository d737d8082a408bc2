"""What an audit publishes of the committed layers at the audited positions, and its bytes.

Activations as the model has them are float32; what goes into and comes out of committed matrices
are integers: n stands for n / 2^e. With s = X_BITS, weights' exponents from the descriptor (Ua is
U0a in the first layer) and the exponents a, mid of the file's header:

    field  type  width  what                                                             exponent
    h_in   f32   d      the residual stream before the layer
    h_mid  f32   d      after its attention block
    h_out  f32   d      after its FFN block
    x_att  i32   d      h_in / rms(h_in): normalised without the gain, which is in U, V     s
    x_ffn  i32   d      h_mid / rms(h_mid)                                                  s
    q      i64   Ha     queries before RoPE, times r_a: x_att Uq                            s + Ua
    k      i64   Ha     keys before RoPE, over r_a: x_att Vk                                s + Va
    v      i64   Ha     values, each head's times X: x_att Uv                               s + Ub
    up     i64   Hf     times r_f: x_ffn Uup                                                s + Uf
    a      i32   Ha     what goes into Wo, the attention-weighted values, times X           a
    att    i64   d      Wo a, what the attention block adds                                 a + Vb
    mid    i32   Hf     what goes into Wdown, times r_f                                     mid
    ffn    i64   d      Wdown mid, what the FFN block adds                                  mid + Vf
    r_a    f32   Ha     how the canonical form scales columns of Wq against those of Wk

k and v have a copy of each kv head for each of its query heads. The canonical form multiplies
column j of U by r_j and divides column j of V by it (balance.py), which changes no map. Before RoPE
is applied q and k must be rid of it, so r_a is published, the same at all positions, given once.
r_f, and the matrix X of each kv head, by which values are multiplied and Wo divided, cancel
wherever they occur.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from huref_zk.errors import InputError

X_BITS = 12
"""s: activations after a norm have rms 1, so their integers have rms 2^12."""
HIDDEN_BITS = 20  # the largest integer in a or mid is about 2^20
_LIMITS = {"x_att": 1 << 21, "x_ffn": 1 << 21, "a": 1 << 21, "mid": 1 << 21}
_INT64_LIMIT = 1 << 62
_BALANCE_LIMIT = 2.0**20
_FLOAT_LIMIT = 1e30  # squares of more would overflow nothing of ours, but no model has such


@dataclass(frozen=True)
class Geometry:
    """Sizes that a descriptor implies: d, query and kv heads, their dimension, FFN width, layers.

    layers: the committed layers' numbers.
    """

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    layers: tuple[int, ...]

    @property
    def widths(self) -> dict[str, int]:
        """Entries of each field of LayerClaims, at one position."""
        d, att = self.hidden, self.heads * self.head_dim
        sizes = dict.fromkeys(("h_in", "h_mid", "h_out", "x_att", "x_ffn", "att", "ffn"), d)
        sizes |= dict.fromkeys(("q", "k", "v", "a", "r_a"), att)
        return sizes | {"up": self.ffn, "mid": self.ffn}

    def block(self, layer: int, term: str) -> slice:
        """Columns of term "a", "b" or "f" of the layer with this index, in a row of U or V."""
        att = self.heads * self.head_dim
        start = layer * (2 * att + self.ffn) + {"a": 0, "b": att, "f": 2 * att}[term]
        return slice(start, start + (self.ffn if term == "f" else att))

    @property
    def length(self) -> int:
        """L, columns of U and V."""
        return len(self.layers) * (2 * self.heads * self.head_dim + self.ffn)

    def repeated(self, values: np.ndarray) -> np.ndarray:
        """(N, kv_heads * head_dim) -> (N, heads * head_dim): each kv head once a query head."""
        grouped = values.reshape(len(values), self.kv_heads, self.head_dim)
        return np.repeat(grouped, self.heads // self.kv_heads, axis=1).reshape(len(values), -1)

    def by_kv_head(self, values: np.ndarray) -> np.ndarray:
        """(N, heads * head_dim) -> (N, kv_heads, heads of each, head_dim)."""
        return values.reshape(len(values), self.kv_heads, -1, self.head_dim)


def geometry_of(descriptor: dict[str, Any]) -> Geometry:
    """The sizes of a committed model of the llama kind. InputError for what cannot be audited."""
    model = descriptor["model"]
    if model.get("architecture") != "llama":
        raise InputError(
            f"inference of {str(model.get('architecture'))[:40]!r} cannot be audited; known: llama"
        )
    names = ("heads", "kv_heads", "head_dim", "ffn")
    sizes = [model.get(name) for name in names]
    if not all(type(size) is int and 0 < size <= 1 << 20 for size in sizes):
        raise InputError(f"the descriptor's model must say {', '.join(names)}")
    heads, kv_heads, head_dim, ffn = (int(size) for size in sizes if size is not None)
    width = heads * head_dim
    if descriptor["widths"] != [width, width, ffn] or heads % kv_heads or head_dim % 2:
        raise InputError("the descriptor's widths do not fit its heads and FFN")
    count = len(descriptor["layers"])
    needed = {f"{side}{i}{term}" for side in "UV" for i in range(count) for term in "abf"}
    if not needed <= set(descriptor["scales"]):
        raise InputError("the descriptor lacks scales of the layers' blocks")
    layers = tuple(descriptor["layers"])
    return Geometry(model["hidden_size"], heads, kv_heads, head_dim, ffn, layers)


@dataclass(frozen=True)
class LayerClaims:
    """One layer's fields as listed above, each an array (N, width): float32, int32 or int64; but
    r_a is (1, width)."""

    h_in: np.ndarray
    h_mid: np.ndarray
    h_out: np.ndarray
    x_att: np.ndarray
    x_ffn: np.ndarray
    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    up: np.ndarray
    a: np.ndarray
    att: np.ndarray
    mid: np.ndarray
    ffn: np.ndarray
    r_a: np.ndarray


FIELDS = tuple(field.name for field in fields(LayerClaims))
TYPES = {name: ">f4" if name[0] in "hr" else ">i8" for name in FIELDS}
TYPES |= dict.fromkeys(_LIMITS, ">i4")


def claims_bytes(geometry: Geometry, positions: int) -> int:
    """Length of the claims about so many positions."""
    sizes = geometry.widths
    layer = sum(int(TYPES[n][2]) * sizes[n] * _rows(n, positions) for n in FIELDS)
    return len(geometry.layers) * layer


def _rows(name: str, positions: int) -> int:
    return 1 if name[0] == "r" else positions


def serialise_claims(claims: tuple[LayerClaims, ...]) -> bytes:
    """Layer by layer, field by field, position by position; big-endian."""
    return b"".join(
        np.ascontiguousarray(getattr(layer, name)).astype(TYPES[name]).tobytes()
        for layer in claims
        for name in FIELDS
    )


def parse_claims(data: bytes, geometry: Geometry, positions: int) -> tuple[LayerClaims, ...]:
    """The inverse. InputError for a wrong length, floats that are not finite, integers too large
    to come from a model (then nothing that is computed from them can overflow)."""
    if len(data) != claims_bytes(geometry, positions):
        raise InputError(f"the claims have {len(data)} bytes, not those of {positions} positions")
    sizes, start, layers = geometry.widths, 0, []
    for _ in geometry.layers:
        arrays = {}
        for name in FIELDS:
            rows = _rows(name, positions)
            count = rows * sizes[name]
            raw = np.frombuffer(data, dtype=TYPES[name], count=count, offset=start)
            start += raw.nbytes
            native = raw.astype(raw.dtype.newbyteorder("="))
            _check_range(name, native)
            arrays[name] = native.reshape(rows, sizes[name])
        layers.append(LayerClaims(**arrays))
    return tuple(layers)


def _check_range(name: str, values: np.ndarray) -> None:
    if name[0] == "r":
        good = bool(np.all((values >= 1 / _BALANCE_LIMIT) & (values <= _BALANCE_LIMIT)))
    elif values.dtype.kind == "f":
        good = bool(np.all(np.abs(values) < _FLOAT_LIMIT))  # false for NaN
    else:
        limit = _LIMITS.get(name, _INT64_LIMIT)
        good = bool(values.max() <= limit and values.min() >= -limit)
    if not good:
        raise InputError(f"the claimed {name} holds a number that no model has")


# --- from activations to integers ----------------------------------------------------------------


def normalised(h: np.ndarray, eps: float) -> np.ndarray:
    """h / sqrt(mean(h^2) + eps) of every row, float64: RMS norm without its gain."""
    wide = h.astype(np.float64)
    return wide / np.sqrt(np.mean(wide**2, axis=1, keepdims=True) + eps)


def norm_integers(h: np.ndarray, eps: float) -> np.ndarray:
    """The integers x of residual streams h, int32."""
    return np.rint(normalised(h, eps) * (1 << X_BITS)).astype(np.int32)


def hidden_exponent(values: np.ndarray) -> int:
    """The exponent that takes the largest magnitude in ``values`` to 2^19 .. 2^20."""
    largest = float(np.abs(values).max())
    if not 0 < largest < _FLOAT_LIMIT:
        raise InputError("the model's activations are all zero, or not finite")
    return max(-64, min(64, HIDDEN_BITS - math.ceil(math.log2(largest))))


def scaled(values: np.ndarray, exponent: int) -> np.ndarray:
    """round(values 2^exponent), int32."""
    return np.rint(values.astype(np.float64) * 2.0**exponent).astype(np.int32)
