"""The group BN254 G1: sums of many points, multiples, multi-scalar sums.

The curve is ``y^2 = x^3 + 3`` over F_q; its group has prime order r (there is no cofactor), so a
point on the curve is a point of the group. A point is ``(x, y)`` with ints in [0, q), or ``None``
for the point at infinity.

Everything heavy goes through one primitive, `sum_groups`: many independent sums at once, added in
pairs, so that all additions of one round share a single field inversion (Montgomery's trick). An
affine addition then costs six modular multiplications, about half of a Jacobian one. Within, the
coordinates are gmpy2's integers, three times as fast as Python's; what is returned is Python's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from gmpy2 import invert, mpz

from huref_zk.curve.field import Q, R

Point = tuple[int, int] | None

GENERATOR: Point = (1, 2)

# The endomorphism (x, y) -> (BETA x, y) multiplies by LAMBDA: cube roots of one in F_q and F_r.
BETA = 2203960485148121921418603742825762020974279258880205651966
LAMBDA = 4407920970296243842393367215006156084916469457145843978461

_Q = mpz(Q)
Pair = tuple[mpz, mpz]
_Jacobian = tuple[mpz, mpz, mpz]  # (X, Y, Z) for (X/Z^2, Y/Z^3); infinity has Z = 0
_INFINITY: _Jacobian = (mpz(0), mpz(1), mpz(0))


def is_on_curve(point: Point) -> bool:
    """Whether `point` is infinity or a pair of canonical coordinates on the curve."""
    if point is None:
        return True
    x, y = mpz(point[0]), mpz(point[1])
    return bool(0 <= x < _Q and 0 <= y < _Q and (y * y - x * x * x - 3) % _Q == 0)


def negate(point: Point) -> Point:
    return None if point is None else (point[0], -point[1] % Q)


def add(a: Point, b: Point) -> Point:
    """The sum of two points (any two, equal ones and infinity included)."""
    return sum_groups([[a, b]])[0]


def multiply(point: Point, scalar: int) -> Point:
    """``scalar * point``; the scalar is any integer, taken mod r."""
    if point is None:
        return None
    pair = raised(point)
    result = _INFINITY
    for bit in bin(scalar % R)[2:]:
        result = _double(result)
        if bit == "1":
            result = _add_affine(result, pair)
    return lowered(_affine(result))


def raised(point: Point) -> Pair | None:
    """A point as it is used within this folder."""
    return None if point is None else (mpz(point[0]), mpz(point[1]))


def lowered(pair: Pair | None) -> Point:
    """A point as it is used outside."""
    return None if pair is None else (int(pair[0]), int(pair[1]))


# --- many sums at once ---------------------------------------------------------------------------


def sum_groups(groups: Sequence[Sequence[Point]]) -> list[Point]:
    """The sum of each group of points; all groups together, one inversion a round.

    Each round adds neighbours in pairs, so a group of n points takes ceil(log2 n) rounds. An empty
    group sums to infinity.
    """
    work = [[(mpz(p[0]), mpz(p[1])) for p in group if p is not None] for group in groups]
    return [lowered(pair) for pair in _reduce(work)]


def sums(groups: Iterable[Sequence[Pair | None]]) -> list[Pair | None]:
    """As sum_groups, for use within this folder."""
    return _reduce([[pair for pair in group if pair is not None] for group in groups])


def _reduce(groups: list[list[Pair]]) -> list[Pair | None]:
    active = [group for group in groups if len(group) > 1]
    while active:
        _halve(active)
        active = [group for group in active if len(group) > 1]
    return [group[0] if group else None for group in groups]


def _halve(groups: list[list[Pair]]) -> None:
    """Replace every group (in place) by the sums of its neighbouring pairs."""
    firsts: list[Pair] = []
    seconds: list[Pair] = []
    for group in groups:
        end = len(group) & -2
        firsts += group[0:end:2]
        seconds += group[1:end:2]
    added = _add_pairs(firsts, seconds)
    position = 0
    for group in groups:
        pairs = len(group) // 2
        rest = group[2 * pairs :]
        group[:] = [pair for pair in added[position : position + pairs] if pair is not None] + rest
        position += pairs


def _add_pairs(firsts: list[Pair], seconds: list[Pair]) -> list[Pair | None]:
    q = _Q
    denominators = []
    prefixes = []
    product = mpz(1)
    for (x1, y1), (x2, y2) in zip(firsts, seconds, strict=True):
        d = x2 - x1
        if not d:
            # Equal points double (slope 3x^2 / 2y; y is never 0, the order is odd); opposite ones
            # cancel, marked by a denominator 0 that takes no part in the shared product.
            d = 2 * y1 if y1 == y2 else d
        denominators.append(d)
        prefixes.append(product)
        if d:
            product = product * d % q
    inverse = invert(product, q)
    added: list[Pair | None] = []
    for (x1, y1), (x2, y2), d, prefix in zip(
        reversed(firsts), reversed(seconds), reversed(denominators), reversed(prefixes), strict=True
    ):
        if x1 != x2:
            slope = inverse * prefix * (y2 - y1) % q
        elif d:
            slope = inverse * prefix * (3 * x1 * x1) % q
        else:
            added.append(None)
            continue
        inverse = inverse * d % q
        x3 = (slope * slope - x1 - x2) % q
        added.append((x3, (slope * (x1 - x3) - y1) % q))
    added.reverse()
    return added


def subset_sums(points: Sequence[Point], members: Sequence[Sequence[bool]]) -> list[Point]:
    """For every row of `members` (len(points) booleans each) the sum of the points it selects.

    The "four Russians" way: the points are cut into blocks of four, all sums within a block are
    made once (11 additions), and each row then adds one of them a block.
    """
    pairs = [raised(point) for point in points]
    blocks = [pairs[i : i + 4] for i in range(0, len(pairs), 4)]
    tables: list[list[Pair | None]] = [[None] for _ in blocks]
    for position in range(4):
        live = [(t, b[position]) for t, b in zip(tables, blocks, strict=True) if position < len(b)]
        fresh = iter(sums([entry, point] for table, point in live for entry in table))
        for table, _ in live:
            table.extend([next(fresh) for _ in range(len(table))])
    groups = []
    for row in members:
        bits = [1 if bit else 0 for bit in row] + [0] * (-len(row) % 4)
        group = []
        for index, table in enumerate(tables):
            a, b, c, d = bits[4 * index : 4 * index + 4]
            group.append(table[a + 2 * b + 4 * c + 8 * d])
        groups.append(group)
    return [lowered(pair) for pair in sums(groups)]


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
    terms = _short_terms(points, scalars)
    if not terms:
        return None
    bits = max(scalar.bit_length() for _, scalar in terms)
    width = _window_width(len(terms), bits)
    half = 1 << (width - 1)
    buckets = _fill_buckets(terms, bits, width)
    flat = _reduce([bucket for window in buckets for bucket in window])
    totals = _weighted_sums([flat[i : i + half] for i in range(0, len(flat), half)])
    result = _INFINITY
    for total in reversed(totals):
        for _ in range(width):
            result = _double(result)
        result = _add_affine(result, total)
    return lowered(_affine(result))


def _short_terms(points: Sequence[Point], scalars: Sequence[int]) -> list[tuple[Pair, int]]:
    """(point, scalar) with positive scalars of 160 bits at most and the same sum."""
    terms = []
    for point, scalar in zip(points, scalars, strict=True):
        scalar %= R
        if scalar > R >> 1:
            scalar -= R
        if point is None or scalar == 0:
            continue
        x, y = mpz(point[0]), mpz(point[1])
        low, high = split(scalar) if abs(scalar) >> _SPLIT_ABOVE_BITS else (scalar, 0)
        if low:
            terms.append(((x, y if low > 0 else _Q - y), abs(low)))
        if high:
            terms.append(((BETA * x % _Q, y if high > 0 else _Q - y), abs(high)))
    return terms


def _fill_buckets(
    terms: Sequence[tuple[Pair, int]], bits: int, width: int
) -> list[list[list[Pair]]]:
    """buckets[w][b]: the points (or their negatives) whose digit in window w is +-(b + 1)."""
    half = 1 << (width - 1)
    mask = (1 << width) - 1
    buckets: list[list[list[Pair]]] = [[[] for _ in range(half)] for _ in range(bits // width + 1)]
    for plus, scalar in terms:
        minus = (plus[0], _Q - plus[1])
        for window in buckets:
            digit = scalar & mask
            scalar >>= width
            if digit > half:
                window[mask - digit].append(minus)  # digit - 2^width, and a carry
                scalar += 1
            elif digit:
                window[digit - 1].append(plus)
    return buckets


def _window_width(count: int, bits: int) -> int:
    """The window width with the fewest additions: one a point and window, two a bucket."""
    return min(range(2, 15), key=lambda w: (bits // w + 1) * (count + (1 << w)))


def _weighted_sums(lists: list[list[Pair | None]]) -> list[Pair | None]:
    """For each list (a power of two long): ``sum_b (b + 1) * list[b]``.

    Read b in binary: the plain sum, plus the odd entries once, plus twice the same sum over the
    lists of neighbours' sums, and so on.
    """
    totals = sums(lists)
    odd_sums: list[list[Pair | None]] = []
    while len(lists[0]) > 1:
        odd_sums.append(sums([entries[1::2] for entries in lists]))
        pairs = [entries[i : i + 2] for entries in lists for i in range(0, len(entries), 2)]
        joined = sums(pairs)
        size = len(lists[0]) // 2
        lists = [joined[i : i + size] for i in range(0, len(joined), size)]
    results = []
    for index, total in enumerate(totals):
        doubled = _INFINITY
        for odds in reversed(odd_sums):
            doubled = _add_affine(_double(doubled), odds[index])
        results.append(_affine(_add_affine(doubled, total)))
    return results


# --- a few additions one after the other ---------------------------------------------------------


def _double(p: _Jacobian) -> _Jacobian:
    x, y, z = p
    if not z:
        return p
    a = y * y % _Q
    s = 4 * x * a % _Q
    m = 3 * x * x % _Q
    x3 = (m * m - 2 * s) % _Q
    return x3, (m * (s - x3) - 8 * a * a) % _Q, 2 * y * z % _Q


def _add_affine(p: _Jacobian, pair: Pair | None) -> _Jacobian:
    if pair is None:
        return p
    x1, y1, z1 = p
    x2, y2 = pair
    if not z1:
        return x2, y2, mpz(1)
    zz = z1 * z1 % _Q
    h = (x2 * zz - x1) % _Q
    slope = (y2 * zz * z1 - y1) % _Q
    if not h:
        return _INFINITY if slope else _double(p)
    hh = h * h % _Q
    hhh = h * hh % _Q
    v = x1 * hh % _Q
    x3 = (slope * slope - hhh - 2 * v) % _Q
    return x3, (slope * (v - x3) - y1 * hhh) % _Q, z1 * h % _Q


def _affine(p: _Jacobian) -> Pair | None:
    x, y, z = p
    if not z:
        return None
    inverse = invert(z, _Q)
    square = inverse * inverse % _Q
    return x * square % _Q, y * square * inverse % _Q


class FixedBase:
    """Many multiples of one point: digits of `width` bits look up a table of signed multiples."""

    def __init__(self, point: Point, width: int = 10):
        self.width = width
        self.half = 1 << (width - 1)
        self._tables: list[list[Pair | None]] = []  # tables[w][d] = d * 2^(width w) * point
        base = raised(point)
        for _ in range(R.bit_length() // width + 1):
            table = [None, base]
            while len(table) <= self.half:
                # The next multiples from the known ones: (n + j) P = n P + j P for 1 <= j <= n.
                top = table[-1]
                table += sums([top, entry] for entry in table[1:])
            self._tables.append(table)
            (base,) = sums([[table[self.half], table[self.half]]])

    def multiples(
        self, scalars: Sequence[int], progress: Callable[[int, int], None] | None = None
    ) -> list[Point]:
        """``[s * point for s in scalars]``; `progress` hears (done, total)."""
        results: list[Point] = []
        for start in range(0, len(scalars), 1024):
            groups = [self._terms(scalar % R) for scalar in scalars[start : start + 1024]]
            results += [lowered(pair) for pair in sums(groups)]
            if progress is not None:
                progress(len(results), len(scalars))
        return results

    def _terms(self, scalar: int) -> list[Pair | None]:
        terms = []
        mask = (1 << self.width) - 1
        for table in self._tables:
            digit = scalar & mask
            scalar >>= self.width
            if digit > self.half:
                pair = table[mask + 1 - digit]
                terms.append(None if pair is None else (pair[0], _Q - pair[1]))
                scalar += 1
            elif digit:
                terms.append(table[digit])
        return terms
