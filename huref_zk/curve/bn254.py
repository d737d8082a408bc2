"""The group BN254 G1 in plain Python integers: encodings, sums of many points, multi-scalar sums.

The curve is ``y^2 = x^3 + 3`` over F_q; its group has prime order r (there is no cofactor), so a
point on the curve is a point of the group. A point is ``(x, y)`` with ints in [0, q), or ``None``
for the point at infinity.

Everything heavy goes through one primitive, `sum_groups`: many independent sums at once, added in
pairs, so that all additions of one round share a single field inversion (Montgomery's trick). An
affine addition then costs six modular multiplications, about half of a Jacobian one.

Encodings
    compressed (ours), 32 bytes: x big-endian; since q < 2^254 the two top bits are free:
        0x80 of the first byte is set when y is odd, 0x40 marks infinity (all other bits zero).
    uncompressed, 64 bytes: x then y, each 32 bytes big-endian; infinity is 64 zero bytes. ezkl's
        proofs open with such points.
    witness, 32 bytes: x little-endian; 0x80 of the last byte is set when y is odd, 0x40 marks
        infinity (all other bits zero). ezkl's witness files hold such points as hex.
    raw, 64 bytes: x then y, each 32 bytes little-endian in Montgomery form (times 2^256 mod q);
        infinity is 64 zero bytes. SRS files hold such points.
Decoders accept exactly what the encoders write and raise InputError for everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from huref_zk.errors import InputError

Point = tuple[int, int] | None

Q = 21888242871839275222246405745257275088696311157297823662689037894645226208583
"""Order of the base field F_q (coordinates)."""
R = 21888242871839275222246405745257275088548364400416034343698204186575808495617
"""Order of the group, and of the scalar field F_r."""
GENERATOR: Point = (1, 2)

MONTGOMERY = pow(2, 256, Q)
_MONTGOMERY_INVERSE = pow(MONTGOMERY, -1, Q)
_SQRT_EXPONENT = (Q + 1) // 4  # q = 3 mod 4

# The endomorphism (x, y) -> (BETA x, y) multiplies by LAMBDA: cube roots of one in F_q and F_r.
BETA = 2203960485148121921418603742825762020974279258880205651966
LAMBDA = 4407920970296243842393367215006156084916469457145843978461


def is_on_curve(point: Point) -> bool:
    """Whether `point` is infinity or a pair of canonical coordinates on the curve."""
    if point is None:
        return True
    x, y = point
    return 0 <= x < Q and 0 <= y < Q and (y * y - x * x * x - 3) % Q == 0


def negate(point: Point) -> Point:
    return None if point is None else (point[0], -point[1] % Q)


def add(a: Point, b: Point) -> Point:
    """The sum of two points (any two, equal ones and infinity included)."""
    return sum_groups([[a, b]])[0]


def multiply(point: Point, scalar: int) -> Point:
    """``scalar * point``; the scalar is any integer, taken mod r."""
    scalar %= R
    return _from_jacobian(_jacobian_multiply(point, scalar))


# --- many sums at once ---------------------------------------------------------------------------


def sum_groups(groups: Sequence[Sequence[Point]]) -> list[Point]:
    """The sum of each group of points; all groups together, one inversion a round.

    Each round adds neighbours in pairs, so a group of n points takes ceil(log2 n) rounds. An empty
    group sums to infinity.
    """
    work = [[p for p in group if p is not None] for group in groups]
    active = [group for group in work if len(group) > 1]
    while active:
        _halve(active)
        active = [group for group in active if len(group) > 1]
    return [group[0] if group else None for group in work]


def _halve(groups: list[list[tuple[int, int]]]) -> None:
    """Replace every group (in place) by the sums of its neighbouring pairs."""
    q = Q
    firsts: list[tuple[int, int]] = []
    seconds: list[tuple[int, int]] = []
    for group in groups:
        end = len(group) & -2
        firsts += group[0:end:2]
        seconds += group[1:end:2]
    denominators = []
    prefixes = []
    product = 1
    for (x1, y1), (x2, y2) in zip(firsts, seconds, strict=True):
        d = x2 - x1
        if d == 0:
            # Equal points double (slope 3x^2 / 2y; y is never 0, the order is odd); opposite ones
            # cancel, marked by a denominator 0 that takes no part in the shared product.
            d = 2 * y1 if y1 == y2 else 0
        denominators.append(d)
        prefixes.append(product)
        if d:
            product = product * d % q
    inverse = pow(product, -1, q)
    sums: list[tuple[int, int] | None] = []
    for (x1, y1), (x2, y2), d, prefix in zip(
        reversed(firsts), reversed(seconds), reversed(denominators), reversed(prefixes), strict=True
    ):
        if x1 != x2:
            slope = inverse * prefix % q * (y2 - y1) % q
        elif d:
            slope = inverse * prefix % q * (3 * x1 * x1) % q
        else:
            sums.append(None)
            continue
        inverse = inverse * d % q
        x3 = (slope * slope - x1 - x2) % q
        sums.append((x3, (slope * (x1 - x3) - y1) % q))
    sums.reverse()
    position = 0
    for group in groups:
        pairs = len(group) // 2
        rest = group[2 * pairs :]
        group[:] = [p for p in sums[position : position + pairs] if p is not None] + rest
        position += pairs


def subset_sums(points: Sequence[Point], members: Sequence[Sequence[bool]]) -> list[Point]:
    """For every row of `members` (len(points) booleans each) the sum of the points it selects.

    The "four Russians" way: the points are cut into blocks of four, all sums within a block are
    made once (11 additions), and each row then adds one of them a block.
    """
    blocks = [list(points[i : i + 4]) for i in range(0, len(points), 4)]
    tables: list[list[Point]] = [[None] for _ in blocks]
    for position in range(4):
        live = [(t, b[position]) for t, b in zip(tables, blocks, strict=True) if position < len(b)]
        fresh = iter(sum_groups([[entry, point] for table, point in live for entry in table]))
        for table, _ in live:
            table.extend([next(fresh) for _ in range(len(table))])
    groups: list[list[Point]] = []
    for row in members:
        bits = [1 if bit else 0 for bit in row] + [0] * (-len(row) % 4)
        group = []
        for index, table in enumerate(tables):
            a, b, c, d = bits[4 * index : 4 * index + 4]
            group.append(table[a + 2 * b + 4 * c + 8 * d])
        groups.append(group)
    return sum_groups(groups)


# --- multi-scalar sums ---------------------------------------------------------------------------

_SPLIT_ABOVE_BITS = 160  # longer scalars are worth splitting in two halves by the endomorphism

# Two short vectors (a, b) of the lattice a + b LAMBDA = 0 mod r, for splitting scalars.
_A1, _B1 = 147946756881789319010696353538189108491, 9931322734385697763
_A2, _B2 = 9931322734385697763, -147946756881789319000765030803803410728


def split(scalar: int) -> tuple[int, int]:
    """(a, b) with a + b LAMBDA = scalar mod r and |a|, |b| < 2^128."""
    c1 = (-2 * _B2 * scalar + R) // (2 * R)
    c2 = (2 * _B1 * scalar + R) // (2 * R)
    return scalar - c1 * _A1 - c2 * _A2, -c1 * _B1 - c2 * _B2


def msm(points: Sequence[Point], scalars: Sequence[int]) -> Point:
    """``sum_i scalars[i] * points[i]`` (scalars: any integers, taken mod r; short ones are fast).

    Pippenger's buckets with signed digits; buckets are summed by `sum_groups`.
    """
    if len(points) != len(scalars):
        raise ValueError("msm needs as many scalars as points")
    terms: list[tuple[tuple[int, int], int]] = []
    for point, scalar in zip(points, scalars, strict=True):
        scalar %= R
        if scalar > R >> 1:
            scalar -= R
        if point is None or scalar == 0:
            continue
        if abs(scalar) >> _SPLIT_ABOVE_BITS:
            low, high = split(scalar)
            terms.append((point, low))
            terms.append(((BETA * point[0] % Q, point[1]), high))
        else:
            terms.append((point, scalar))
    if not terms:
        return None
    bits = max(abs(scalar).bit_length() for _, scalar in terms)
    width = _window_width(len(terms), bits)
    half = 1 << (width - 1)
    windows = bits // width + 1
    # buckets[w][b]: the points (or their negatives) whose digit in window w is +-(b + 1)
    buckets: list[list[list[Point]]] = [[[] for _ in range(half)] for _ in range(windows)]
    mask = (1 << width) - 1
    for (x, y), scalar in terms:
        plus = (x, y) if scalar > 0 else (x, Q - y)
        minus = (x, Q - plus[1])
        scalar = abs(scalar)
        for window in buckets:
            digit = scalar & mask
            scalar >>= width
            if digit > half:
                window[mask - digit].append(minus)  # digit - 2^width, and a carry
                scalar += 1
            elif digit:
                window[digit - 1].append(plus)
    flat = sum_groups([bucket for window in buckets for bucket in window])
    totals = _weighted_sums([flat[i : i + half] for i in range(0, len(flat), half)])
    result = (0, 1, 0)
    for total in reversed(totals):
        for _ in range(width):
            result = _jacobian_double(result)
        result = _jacobian_add_affine(result, total)
    return _from_jacobian(result)


def _window_width(count: int, bits: int) -> int:
    """The window width with the fewest additions: one a point and window, two a bucket."""
    return min(range(2, 15), key=lambda w: (bits // w + 1) * (count + (1 << w)))


def _weighted_sums(lists: list[list[Point]]) -> list[Point]:
    """For each list (a power of two long): ``sum_b (b + 1) * list[b]``.

    Read b in binary: the plain sum, plus the odd entries once, plus twice the same sum over the
    lists of neighbours' sums, and so on.
    """
    totals = sum_groups(lists)
    odd_sums: list[list[Point]] = []
    while len(lists[0]) > 1:
        odd_sums.append(sum_groups([entries[1::2] for entries in lists]))
        pairs = [entries[i : i + 2] for entries in lists for i in range(0, len(entries), 2)]
        sums = sum_groups(pairs)
        size = len(lists[0]) // 2
        lists = [sums[i : i + size] for i in range(0, len(sums), size)]
    results = []
    for index, total in enumerate(totals):
        doubled = (0, 1, 0)
        for odds in reversed(odd_sums):
            doubled = _jacobian_add_affine(_jacobian_double(doubled), odds[index])
        results.append(_from_jacobian(_jacobian_add_affine(doubled, total)))
    return results


# --- a few additions one after the other: Jacobian coordinates (X/Z^2, Y/Z^3) -------------------

_Jacobian = tuple[int, int, int]


def _jacobian_double(p: _Jacobian) -> _Jacobian:
    x, y, z = p
    if z == 0:
        return p
    a = y * y % Q
    s = 4 * x * a % Q
    m = 3 * x * x % Q
    x3 = (m * m - 2 * s) % Q
    return x3, (m * (s - x3) - 8 * a * a) % Q, 2 * y * z % Q


def _jacobian_add_affine(p: _Jacobian, point: Point) -> _Jacobian:
    if point is None:
        return p
    x1, y1, z1 = p
    x2, y2 = point
    if z1 == 0:
        return x2, y2, 1
    zz = z1 * z1 % Q
    h = (x2 * zz - x1) % Q
    slope = (y2 * zz * z1 - y1) % Q
    if h == 0:
        return _jacobian_double(p) if slope == 0 else (0, 1, 0)
    hh = h * h % Q
    hhh = h * hh % Q
    v = x1 * hh % Q
    x3 = (slope * slope - hhh - 2 * v) % Q
    return x3, (slope * (v - x3) - y1 * hhh) % Q, z1 * h % Q


def _jacobian_multiply(point: Point, scalar: int) -> _Jacobian:
    result = (0, 1, 0)
    for bit in bin(scalar)[2:]:
        result = _jacobian_double(result)
        if bit == "1":
            result = _jacobian_add_affine(result, point)
    return result


def _from_jacobian(p: _Jacobian) -> Point:
    x, y, z = p
    if z == 0:
        return None
    inverse = pow(z, -1, Q)
    square = inverse * inverse % Q
    return x * square % Q, y * square * inverse % Q


class FixedBase:
    """Many multiples of one point: digits of `width` bits look up a table of signed multiples."""

    def __init__(self, point: Point, width: int = 10):
        self.width = width
        self.half = 1 << (width - 1)
        self.tables: list[list[Point]] = []  # tables[w][d] = d * 2^(width w) * point
        base = point
        for _ in range(R.bit_length() // width + 1):
            table: list[Point] = [None, base]
            while len(table) <= self.half:
                # The next multiples from the known ones: (n + j) P = n P + j P for 1 <= j <= n.
                top = table[-1]
                table += sum_groups([[top, entry] for entry in table[1:]])
            self.tables.append(table)
            base = multiply(base, 1 << width)

    def multiples(
        self, scalars: Sequence[int], progress: Callable[[int, int], None] | None = None
    ) -> list[Point]:
        """``[s * point for s in scalars]``; `progress` hears (done, total)."""
        results: list[Point] = []
        for start in range(0, len(scalars), 1024):
            groups = [self._terms(scalar % R) for scalar in scalars[start : start + 1024]]
            results += sum_groups(groups)
            if progress is not None:
                progress(len(results), len(scalars))
        return results

    def _terms(self, scalar: int) -> list[Point]:
        terms = []
        mask = (1 << self.width) - 1
        for table in self.tables:
            digit = scalar & mask
            scalar >>= self.width
            if digit > self.half:
                terms.append(negate(table[mask + 1 - digit]))
                scalar += 1
            elif digit:
                terms.append(table[digit])
        return terms


# --- encodings -----------------------------------------------------------------------------------


def compress(point: Point) -> bytes:
    """The 32-byte encoding (see the module's head)."""
    if point is None:
        return b"\x40" + bytes(31)
    x, y = point
    return (x | (y & 1) << 255).to_bytes(32, "big")


def decompress(data: bytes) -> Point:
    """The point of a 32-byte encoding; InputError unless it is one `compress` writes."""
    if len(data) != 32:
        raise InputError(f"a compressed point must have 32 bytes, not {len(data)}")
    if data[0] & 0x40:
        if data != b"\x40" + bytes(31):
            raise InputError("malformed compressed point: infinity with other bits set")
        return None
    number = int.from_bytes(data, "big")
    return _lift(number & ((1 << 255) - 1), number >> 255)


def _lift(x: int, odd: int) -> Point:
    if x >= Q:
        raise InputError("malformed compressed point: x is not below the field order")
    square = (x * x * x + 3) % Q
    y = pow(square, _SQRT_EXPONENT, Q)
    if y * y % Q != square:
        raise InputError("malformed compressed point: no point of the curve has this x")
    return x, (y if y & 1 == odd else Q - y)


def encode_uncompressed(point: Point) -> bytes:
    """The 64-byte big-endian encoding, as in ezkl's proofs."""
    x, y = point if point is not None else (0, 0)
    return x.to_bytes(32, "big") + y.to_bytes(32, "big")


def decode_uncompressed(data: bytes) -> Point:
    """The point of a 64-byte big-endian encoding; InputError unless canonical and on the curve."""
    if len(data) != 64:
        raise InputError(f"an uncompressed point must have 64 bytes, not {len(data)}")
    return _checked(int.from_bytes(data[:32], "big"), int.from_bytes(data[32:], "big"))


def decode_witness(data: bytes) -> Point:
    """The point of a 32-byte encoding in an ezkl witness file; InputError unless canonical."""
    if len(data) != 32:
        raise InputError(f"a witness point must have 32 bytes, not {len(data)}")
    number = int.from_bytes(data, "little")
    if data[31] & 0x40:
        if number != 1 << 254:
            raise InputError("malformed witness point: infinity with other bits set")
        return None
    return _lift(number & ((1 << 255) - 1), number >> 255)


def from_ezkl(point: Any) -> Point:
    """The point of an ezkl PyG1Affine: x and y as little-endian hex; infinity is (0, 0)."""
    x, y = (int.from_bytes(bytes.fromhex(text), "little") for text in (point.x, point.y))
    return _checked(x, y)


def encode_raw(point: Point) -> bytes:
    """The 64-byte Montgomery encoding of SRS files."""
    x, y = point if point is not None else (0, 0)
    return (x * MONTGOMERY % Q).to_bytes(32, "little") + (y * MONTGOMERY % Q).to_bytes(32, "little")


def decode_raw(data: bytes) -> Point:
    """The point of a 64-byte Montgomery encoding; InputError unless canonical and on the curve."""
    if len(data) != 64:
        raise InputError(f"a raw point must have 64 bytes, not {len(data)}")
    x, y = int.from_bytes(data[:32], "little"), int.from_bytes(data[32:], "little")
    if x >= Q or y >= Q:
        raise InputError("malformed point: a coordinate is not below the field order")
    return _checked(x * _MONTGOMERY_INVERSE % Q, y * _MONTGOMERY_INVERSE % Q)


def _checked(x: int, y: int) -> Point:
    if x == 0 and y == 0:
        return None
    if not is_on_curve((x, y)):
        raise InputError("malformed point: not a point of the curve")
    return x, y
