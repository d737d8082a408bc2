"""What an audit publishes at the audited positions, and its bytes.

Activations as the model has them are float32; what goes into and comes out of committed matrices
are integers: n stands for n / 2^e. With s = X_BITS, the weights' scales from the descriptor (2^q is
that of qv<l>.q in layer l) and the exponents a, mid, z of the file's header:

    field  type  width  what                                                             exponent
    of each audited layer:
    h_in   f32   d      the residual stream before the layer
    h_mid  f32   d      after its attention block
    h_out  f32   d      after its FFN block
    x_att  i32   d      h_in / rms(h_in): normalised without the gain, which is in the weights  s
    x_ffn  i32   d      h_mid / rms(h_mid)                                                  s
    q      i64   A      queries before RoPE: x_att Wq                                       s + q
    k      i64   G      keys before RoPE: x_att Wk, each kv head once                       s + k
    v      i64   G      values: x_att Wv, each kv head once                                 s + v
    up     i64   F      x_ffn Wup                                                           s + up
    gate   i64   F      x_ffn Wgate                                                         s + gate
    a      i32   A      what goes into Wo, the attention-weighted values                    a
    att    i64   d      Wo a, what the attention block adds                               a + o
    mid    i32   F      what goes into Wdown                                                mid
    ffn    i64   d      Wdown mid, what the FFN block adds                                mid + down
    of the output, if it is audited:
    z      i32   d      h_out / rms(h_out) of the last layer, times gain                    z
    s      i64   K      z met with the K rows of O or E                              z + O, z + E
    gain   f32   d      once: the final norm's (E), ones (O, whose rows have it folded in)
    norms  f32   K      once: what row k stands for is norms_k times the integers (E), ones (O)
    of the input, where layer 0 is audited, at positions whose token is one of the K:
    rows   i16   d      E's row of that token

A, G, F: columns of Wq, of Wk and of Wup and Wgate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

from huref_zk.commitment.descriptor import Descriptor
from huref_zk.errors import InputError

ARCHITECTURE = "llama"
X_BITS = 12
"""s: activations after a norm have rms 1, so their integers have rms 2^12."""
HIDDEN_BITS = 20  # the largest integer in a, mid or z is about 2^20
SCALES = (2.0**-64, 2.0**64)
"""Between which scales of audited matrices lie. Weights of size one have 2^7; under a unit far from
that what a matrix gives would be nothing, or beyond what floats hold."""
_LIMIT = 1 << 21  # of 32-bit integers
_INT64_LIMIT = 1 << 62
_FLOAT_LIMIT = 1e30  # squares of more would overflow nothing of ours, but no model has such
_ONCE = ("gain", "norms")


@dataclass(frozen=True)
class Geometry:
    """Sizes that a descriptor implies: d, query and kv heads, their dimension, FFN width, K, and
    the numbers of the audited layers; depth: how many layers the model has."""

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    tokens: int
    depth: int
    layers: tuple[int, ...]

    @property
    def attention(self) -> int:
        """Columns of Wq."""
        return self.heads * self.head_dim

    @property
    def grouped(self) -> int:
        """Columns of Wk as the model has it."""
        return self.kv_heads * self.head_dim

    @property
    def widths(self) -> dict[str, int]:
        """Entries of each field, at one position."""
        sizes = dict.fromkeys((*LAYER_FIELDS, "z", "gain", "rows"), self.hidden)
        sizes |= {"q": self.attention, "a": self.attention, "up": self.ffn}
        sizes |= {"gate": self.ffn, "mid": self.ffn}
        return sizes | {
            "k": self.grouped,
            "v": self.grouped,
            "s": self.tokens,
            "norms": self.tokens,
        }

    def repeated(self, values: np.ndarray) -> np.ndarray:
        """(N, kv_heads * head_dim) -> (N, heads * head_dim): each kv head once a query head."""
        grouped = values.reshape(len(values), self.kv_heads, self.head_dim)
        return np.repeat(grouped, self.heads // self.kv_heads, axis=1).reshape(len(values), -1)


def geometry_of(descriptor: Descriptor) -> Geometry:
    """The sizes of a committed model of the llama kind. InputError for what cannot be audited."""
    model = descriptor.model
    if not descriptor.audited:
        raise InputError(
            "no layer of this commitment can be audited; 'commit --audit-layers' names some"
        )
    if model.get("architecture") != ARCHITECTURE:
        raise InputError(
            f"inference of {str(model.get('architecture'))[:40]!r} cannot be audited; "
            f"known: {ARCHITECTURE}"
        )
    heads, kv_heads, head_dim, depth = (
        _size(model.get(name), name) for name in ("heads", "kv_heads", "head_dim", "layers_total")
    )
    ffn = descriptor.audited[0].ffn
    for part in descriptor.audited:
        if (part.attention, part.ffn) != (heads * head_dim, ffn) or part.layer >= depth:
            raise InputError("the descriptor's audited layers do not fit its model")
    if heads % kv_heads or head_dim % 2:
        raise InputError("the descriptor's heads do not fit one another")
    layers = tuple(part.layer for part in descriptor.audited)
    if list(layers) != sorted(layers):
        raise InputError("the descriptor's audited layers must rise")
    needed = {block for layer in layers for block in blocks_of(layer)}
    needed |= {"E"} | ({"O"} if descriptor.output else set())
    if not needed <= set(descriptor.scales):
        raise InputError("the descriptor lacks scales of the audited matrices")
    for name in sorted(needed):
        if not SCALES[0] <= float(descriptor.scales[name]) <= SCALES[1]:
            raise InputError(f"the descriptor's scale of {name} is no model's")
    return Geometry(
        descriptor.hidden, heads, kv_heads, head_dim, ffn, descriptor.tokens.count, depth, layers
    )


def blocks_of(layer: int) -> tuple[str, ...]:
    """Names of the scales of a layer's matrices: q, v, k, o, up, gate, down."""
    pairs = (("qv", ".q"), ("qv", ".v"), ("ko", ".k"), ("ko", ".o"))
    whole = tuple(f"{matrix}{layer}" for matrix in ("up", "gate", "down"))
    return tuple(f"{matrix}{layer}{part}" for matrix, part in pairs) + whole


def _size(value: object, name: str) -> int:
    if type(value) is not int or not 0 < value <= 1 << 20:
        raise InputError(f"the descriptor's model must say {name}")
    return value


@dataclass(frozen=True)
class LayerClaims:
    """One layer's fields as listed above, each an array (N, width): float32, int32 or int64."""

    h_in: np.ndarray
    h_mid: np.ndarray
    h_out: np.ndarray
    x_att: np.ndarray
    x_ffn: np.ndarray
    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    up: np.ndarray
    gate: np.ndarray
    a: np.ndarray
    att: np.ndarray
    mid: np.ndarray
    ffn: np.ndarray


@dataclass(frozen=True)
class OutputClaims:
    """z, s (N, width), int32 and int64; gain, norms (1, width), float32."""

    z: np.ndarray
    s: np.ndarray
    gain: np.ndarray
    norms: np.ndarray


@dataclass(frozen=True)
class Claims:
    """layers: one each; output: None when it is not audited; rows: int16 (M, d), M positions."""

    layers: tuple[LayerClaims, ...]
    output: OutputClaims | None
    rows: np.ndarray


LAYER_FIELDS = tuple(field.name for field in fields(LayerClaims))
OUTPUT_FIELDS = tuple(field.name for field in fields(OutputClaims))
TYPES = {name: ">f4" if name[0] == "h" else ">i8" for name in LAYER_FIELDS}
TYPES |= dict.fromkeys(("x_att", "x_ffn", "a", "mid", "z"), ">i4")
TYPES |= {"s": ">i8", "gain": ">f4", "norms": ">f4", "rows": ">i2"}


@dataclass(frozen=True)
class Extent:
    """How much a file claims: at how many positions, whether of the output, at how many positions
    it names E's row."""

    positions: int
    output: bool
    rows: int


def _shapes(geometry: Geometry, extent: Extent) -> list[tuple[str, tuple[int, int]]]:
    names = [*LAYER_FIELDS] * len(geometry.layers)
    names += [*OUTPUT_FIELDS] * extent.output + ["rows"]
    counts = dict.fromkeys(_ONCE, 1) | {"rows": extent.rows}
    widths = geometry.widths
    return [(name, (counts.get(name, extent.positions), widths[name])) for name in names]


def serialise_claims(claims: Claims) -> bytes:
    """Field by field in the order above, position by position; big-endian."""
    arrays = [(name, getattr(part, name)) for part in claims.layers for name in LAYER_FIELDS]
    if claims.output is not None:
        arrays += [(name, getattr(claims.output, name)) for name in OUTPUT_FIELDS]
    arrays.append(("rows", claims.rows))
    return b"".join(
        np.ascontiguousarray(array).astype(TYPES[name]).tobytes() for name, array in arrays
    )


def parse_claims(data: bytes, geometry: Geometry, extent: Extent) -> Claims:
    """The inverse. InputError for a wrong length, floats that are not finite, integers too large
    to come from a model (then nothing that is computed from them can overflow)."""
    shapes = _shapes(geometry, extent)
    size = sum(int(TYPES[name][2]) * math.prod(shape) for name, shape in shapes)
    if len(data) != size:
        raise InputError(f"the claims have {len(data)} bytes, not {size}")
    arrays, start = [], 0
    for name, shape in shapes:
        raw = np.frombuffer(data, dtype=TYPES[name], count=math.prod(shape), offset=start)
        start += raw.nbytes
        native = raw.astype(raw.dtype.newbyteorder("=")).reshape(shape)
        _check_range(name, native)
        arrays.append(native)
    many, rest = len(LAYER_FIELDS), len(LAYER_FIELDS) * len(geometry.layers)
    layers = tuple(LayerClaims(*arrays[i : i + many]) for i in range(0, rest, many))
    output = OutputClaims(*arrays[rest:-1]) if extent.output else None
    return Claims(layers, output, arrays[-1])


def _check_range(name: str, values: np.ndarray) -> None:
    if name == "norms":
        good = bool(np.all((values > 0) & (values < _FLOAT_LIMIT)))
    elif values.dtype.kind == "f":
        good = bool(np.all(np.abs(values) < _FLOAT_LIMIT))  # false for NaN
    elif values.dtype == np.int16:
        good = bool(values.min(initial=0) > -(1 << 15))
    else:
        limit = _LIMIT if values.dtype == np.int32 else _INT64_LIMIT
        good = bool(values.max() <= limit and values.min() >= -limit)
    if not good:
        raise InputError(f"the claimed {name} holds a number that no model has")


# --- from activations to integers ----------------------------------------------------------------


def normalised(h: np.ndarray, eps: float) -> np.ndarray:
    """h / sqrt(mean(h^2) + eps) of every row, float64: RMS norm without its gain."""
    wide = h.astype(np.float64)
    mean = np.mean(wide**2, axis=1, keepdims=True) + eps
    found = np.zeros_like(wide)
    np.divide(wide, np.sqrt(mean), out=found, where=mean > 0)
    return found


def norm_integers(h: np.ndarray, eps: float) -> np.ndarray:
    """The integers x of residual streams h, int32."""
    return np.asarray(np.rint(normalised(h, eps) * (1 << X_BITS)), dtype=np.int32)


def embedding_values(h: np.ndarray, recipe: str, scale: float) -> np.ndarray:
    """What E has for the tokens with these embeddings (N, d), before rounding, float64.

    scale: the descriptor's, of E. The recipe `official` takes embeddings as they are, the others
    bring each to a mean square of one.
    """
    return np.asarray(
        scale * (h.astype(np.float64) if recipe == "official" else normalised(h, 0.0))
    )


def hidden_exponent(values: np.ndarray) -> int:
    """The exponent that takes the largest magnitude in ``values`` to 2^19 .. 2^20."""
    largest = float(np.abs(values).max())
    if not 0 < largest < _FLOAT_LIMIT:
        raise InputError("the model's activations are all zero, or not finite")
    return max(-64, min(64, HIDDEN_BITS - math.ceil(math.log2(largest))))


def scaled(values: np.ndarray, exponent: int) -> np.ndarray:
    """round(values 2^exponent), int32."""
    return np.asarray(np.rint(values.astype(np.float64) * 2.0**exponent), dtype=np.int32)
