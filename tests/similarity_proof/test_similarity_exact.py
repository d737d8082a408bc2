"""The circuit's similarity against its definition in integers and in floats, and against ezkl."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from huref_zk.circuit import keys
from huref_zk.circuit.shape import Shape, shape_for
from huref_zk.commitment.salts import SALTS
from huref_zk.curve.field import R
from huref_zk.errors import InputError
from huref_zk.invariants.encoder import MAPS, P
from huref_zk.invariants.sketch import GROUPS, LEFT, RIGHT, ics
from huref_zk.native import ezkl as runner
from huref_zk.proofs.similarity.exact import (
    ANY,
    Range,
    at_least,
    at_most,
    exactly,
    holds,
    sum_of_cosines,
)
from huref_zk.proofs.similarity.shape import (
    CELL,
    CONDITIONS,
    FRACTION_BITS,
    MAX_ENERGY,
    MIN_ENERGY,
    TOP,
    energy_shift,
    pair_for,
)

ONE = MAPS << FRACTION_BITS
K = 11
SMALL, OTHER = shape_for(8, K), shape_for(12, K)
PAIR = pair_for(8, 12, K)
SAME = pair_for(8, 8, K)
TERMS = 3


def rows_of(shape: Shape, octaves: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random (Y (32, 3, d), B (16, d)), Python integers, whose maps have 2^octaves times the size
    that is expected."""
    rng = np.random.default_rng(seed)
    size = 2.0 ** ((shape.shift + 5 + octaves - np.log2(shape.hidden) / 2) / 2)
    return tuple(
        whole(rng.normal(scale=size, size=(*lead, shape.hidden)))
        for lead in ((LEFT, TERMS), (RIGHT,))
    )


def maps_of(rows: tuple[np.ndarray, np.ndarray]) -> list:
    """The six maps, map 3 s + t."""
    left, right = rows
    groups = left.reshape(GROUPS, P, TERMS, -1)
    return [(groups[s, :, t] @ right.T).tolist() for s in range(GROUPS) for t in range(TERMS)]


def floats(maps: list) -> np.ndarray:
    return np.array(maps, dtype=np.float64)


def mixed(x, y, mix: float):
    """Rows on the way from y to x, of their size."""
    size = math.hypot(1 - mix, mix)
    return tuple(
        whole(((1 - mix) * b + mix * a).astype(float) / size) for a, b in zip(x, y, strict=True)
    )


def whole(values: np.ndarray) -> np.ndarray:
    """Rounded to Python integers."""
    return np.rint(values.astype(float)).astype(np.int64).astype(object)


class Circuit:
    """The compiled circuit of a pair; tells what it puts out for rows and bounds."""

    def __init__(self, pair, folder: Path):
        self.folder = folder
        self.rng = np.random.default_rng(7)
        keys.write_settings(pair, folder / "graph.onnx", folder / "settings.json")
        runner.run(
            "compile_circuit",
            model=folder / "graph.onnx",
            compiled_circuit=folder / "circuit.ezkl",
            settings_path=folder / "settings.json",
        )

    def element(self) -> int:
        """Any field element."""
        return int.from_bytes(self.rng.bytes(40), "big") % R

    def columns(self, rows, maps, weights: list[int]) -> list[list[int]]:
        """Combined rows, and maps, of one model, with random salts."""
        left, right = rows
        d = left.shape[-1]
        on_left = weights[:LEFT]
        ys = [sum(w * y for w, y in zip(on_left, left[:, t], strict=True)) for t in range(TERMS)]
        b = sum(w * row for w, row in zip(weights[LEFT:], right, strict=True))
        tail = [self.element() for _ in range(16)]
        combined = [*ys[0], *[0] * 16, *ys[1], *[0] * 16, *ys[2], *[0] * 8, *tail[:8]]
        flat = [v for m in maps for row in m for v in row]
        assert len(combined) == 3 * (d + 16)
        return [combined, [*b, *tail], flat + tail[:SALTS]]

    def outputs(self, x, y, limits: list[int], maps=None) -> list[int]:
        """How many conditions hold, and the six differences."""
        weights = [self.element() for _ in range(LEFT + RIGHT)]
        mx, my = maps or (maps_of(x), maps_of(y))
        columns = [
            *self.columns(x, mx, weights),
            *self.columns(y, my, weights),
            [*weights, *limits],
        ]
        data = [[(int(v) % R).to_bytes(32, "little").hex() for v in c] for c in columns]
        files = {name: self.folder / f"{name}.json" for name in ("input", "witness")}
        files["input"].write_text(json.dumps({"input_data": data}))
        runner.run(
            "gen_witness",
            data=files["input"],
            model=self.folder / "circuit.ezkl",
            output=files["witness"],
        )
        (found,) = json.loads(files["witness"].read_text())["outputs"]
        return [int.from_bytes(bytes.fromhex(v), "little") for v in found]

    def held(self, x, y, limits: list[int]) -> int:
        """How many conditions hold of honest columns."""
        held, *gaps = self.outputs(x, y, limits)
        assert gaps == [0] * (2 * TERMS)
        return held


@pytest.fixture(scope="module")
def circuit(tmp_path_factory) -> Circuit:
    return Circuit(PAIR, tmp_path_factory.mktemp("pair"))


# --- in integers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("octaves", [-2.5, -1, 0, 1.5])
def test_integers_agree_with_floats(octaves):
    """To far less than what is asked for, over the sizes that the circuit is made for."""
    x = rows_of(SMALL, octaves)
    for mix in (0.0, 0.4, 1.0):
        y = mixed(x, rows_of(SMALL, octaves, seed=1), mix)
        maps = maps_of(x), maps_of(y)
        total = sum_of_cosines(SAME, *maps)
        assert abs(total / ONE - ics(*map(floats, maps))) < 2.0**-20


def test_a_model_is_like_itself_and_unlike_its_negative():
    x = maps_of(rows_of(SMALL))
    minus = [[[-v for v in row] for row in m] for m in x]
    assert exactly(sum_of_cosines(SAME, x, x)) == Range(1 << 16, 1 << 16)
    assert sum_of_cosines(SAME, x, minus) == -sum_of_cosines(SAME, x, x)


def test_maps_of_impossible_size():
    x, y = maps_of(rows_of(SMALL)), maps_of(rows_of(OTHER, seed=1))
    for t, factor, words in ((2, 0, "map 2 of the second model vanishes"), (5, 1 << 9, "size 2")):
        scaled = list(y)
        scaled[t] = [[factor * v for v in row] for row in y[t]]
        with pytest.raises(InputError, match=words):
            sum_of_cosines(PAIR, x, scaled)
    sum_of_cosines(PAIR, x, y)


def one_number(shape: Shape, energy: int) -> list:
    """Maps whose squared norms are ``energy`` exactly, in the circuit's units."""
    left, row = energy, []
    for _ in range(P):  # a sum of squares, greedily
        row.append(math.isqrt(left) << energy_shift(shape) // 2)
        left -= math.isqrt(left) ** 2
    assert left == 0 and energy_shift(shape) % 2 == 0
    return [[row] + [[0] * P for _ in range(P - 1)] for _ in range(MAPS)]


def test_a_root_that_ezkl_rounds_wrongly_is_met_before_proving():
    """N = 2^24 j^2 + j has the root 2^24 j + 1/2 less a part too small for a double."""
    j = 15
    bad = (j * j << FRACTION_BITS) + j
    assert MIN_ENERGY <= bad <= MAX_ENERGY
    assert math.sqrt(bad << FRACTION_BITS) % 1 == 0.5  # in truth it is less
    y = maps_of(rows_of(SMALL))
    with pytest.raises(InputError, match="another seed"):
        sum_of_cosines(SAME, one_number(SMALL, bad), y)
    sum_of_cosines(SAME, one_number(SMALL, bad + 1), y)


def test_cells():
    """A cell is what rounding to the nearest 2^-16 gives; a bound is rounded to the safe side."""
    for total in (0, 1, CELL // 2 - 1, CELL // 2, CELL, -CELL // 2, -CELL // 2 - 1, ONE, -ONE):
        cell = exactly(total).low
        assert cell == (2 * total + CELL) // (2 * CELL)
        assert [holds(total, Range(c, c)) for c in (cell - 1, cell, cell + 1)] == [
            False,
            True,
            False,
        ]
    assert at_least(0.3) == Range(19661, TOP) and 19660 / 65536 < 0.3 < 19661 / 65536
    assert at_most(0.3) == Range(-TOP, 19660)
    assert at_least(0.5).low == at_most(0.5).high == 1 << 15
    assert holds(CELL * 7 - CELL // 2, Range(7, TOP))
    assert not holds(CELL * 7 - CELL // 2 - 1, Range(7, TOP))
    for bad in (1.01, -1.01, float("nan"), float("inf")):
        with pytest.raises(InputError, match="between -1 and 1"):
            at_least(bad)


def test_words():
    assert Range(1 << 15, 1 << 15).words == "s = 0.50000"
    assert at_least(0.25).words == "s >= 0.25000"
    assert at_most(0.25).words == "s <= 0.25000"
    assert Range(0, 1 << 14).words == "0.00000 <= s <= 0.25000"
    assert ANY.words == "any s"


def test_shapes():
    swapped = pair_for(12, 8, K)
    assert len({p.digest for p in (PAIR, SAME, swapped)}) == 3
    assert len({p.name for p in (PAIR, SAME, swapped)}) == 3
    assert replace(SAME, k=K + 1).digest != SAME.digest
    with pytest.raises(InputError, match="2\\^11"):
        pair_for(8, 576, K - 1)
    with pytest.raises(InputError, match="1024"):
        pair_for(8, 1024, K)
    for pair in (SAME, pair_for(8, 576, K), pair_for(16384, 16384, 16)):
        largest = max(map(energy_shift, pair.shapes))
        assert pair.base_bits * pair.legs > largest + 1
        # ezkl computes witnesses in signed 128-bit integers.
        assert largest + MAX_ENERGY.bit_length() + 8 < 127


# --- what a prover can win -----------------------------------------------------------------------


def quotients(value: int, bits: int) -> set[int]:
    """All that ezkl's division accepts: less than one unit from the true quotient."""
    return {value >> bits, -(-value >> bits)}


def cosines(x: list, y: list, shifts: tuple[int, int]) -> set[int]:
    """All that the circuit accepts as the cosine of two maps; roots and reciprocals leave no
    choice."""
    a, b = (np.array(m, dtype=object).ravel() for m in (x, y))
    e, f = shifts
    found = set()
    for n, m, dot in itertools.product(
        quotients(int(a @ a), e), quotients(int(b @ b), f), quotients(int(a @ b), (e + f) // 2)
    ):
        r, s = (
            round(Fraction(1 << 48, round(Fraction(math.isqrt(v << 26) + 1, 2)))) for v in (n, m)
        )
        for inner in quotients(dot * r, FRACTION_BITS):
            found |= quotients(inner * s, FRACTION_BITS)
    return found


@pytest.mark.parametrize("octaves", [(-3, -3), (-3, 2), (0, 0), (2, 2)])
def test_what_a_prover_wins_by_rounding_as_it_likes(octaves):
    """At the ends of the range of sizes and in its middle: below 2e-6, as docs claim."""
    inside = [math.copysign(abs(o) - 0.1 if o else 0, o) for o in octaves]
    x = rows_of(SMALL, inside[0])
    scale = 2.0 ** ((inside[1] - inside[0]) / 2)
    shift = energy_shift(SMALL)
    worst = 0.0
    for mix, seed in itertools.product((0.0, 0.7, 1.0), range(3)):
        y = mixed(x, rows_of(SMALL, inside[0], seed=1 + seed), mix)
        y = tuple(whole(scale * v) for v in y)
        for a, b in zip(maps_of(x), maps_of(y), strict=True):
            true = ics(np.array([a], dtype=float), np.array([b], dtype=float))
            found = cosines(a, b, (shift, shift))
            worst = max(worst, *(abs(c / 2**FRACTION_BITS - true) for c in found))
    assert 0 < worst < 2e-6


# --- in the circuit ------------------------------------------------------------------------------


def test_ezkl_finds_exactly_our_sum(circuit):
    """Within [sum, sum], and not within bounds that miss it by one unit on either side."""
    for seed, octaves in ((0, 0.0), (1, -2.5), (2, 1.5)):
        x, y = rows_of(SMALL, octaves, seed), rows_of(OTHER, -octaves / 4, seed + 10)
        total = sum_of_cosines(PAIR, maps_of(x), maps_of(y))
        wide = 1 << 30
        for limits, held in (
            ([-total, total], CONDITIONS),
            ([-total - 1, wide], CONDITIONS - 1),
            ([wide, total - 1], CONDITIONS - 1),
            ([-total - 1, total - 1], CONDITIONS - 2),
            (exactly(total).limits, CONDITIONS),
        ):
            assert circuit.held(x, y, limits) == held


def test_ezkl_counts_maps_of_impossible_size(circuit):
    """One map too small or too large, in either model; its norm at the very ends of the range."""
    x, y = rows_of(SMALL), rows_of(OTHER, seed=1)
    wide = [1 << 30, 1 << 30]
    assert circuit.held(x, y, wide) == CONDITIONS
    for model, factor in ((0, 2.0**-6), (1, 2.0**3)):
        rows = [list(x), list(y)]
        left = rows[model][0].copy()
        left[:P, 0] = whole(factor * left[:P, 0])
        rows[model][0] = left
        assert circuit.held(*map(tuple, rows), wide) == CONDITIONS - 1


def with_energy(shape: Shape, energy: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose six maps have this squared norm: one map entry a group and term, on a diagonal."""
    maps = np.array(one_number(shape, energy)[0], dtype=object)
    left = np.zeros((LEFT, TERMS, shape.hidden), dtype=object)
    right = np.zeros((RIGHT, shape.hidden), dtype=object)
    left[::P, :, 0] = 1
    right[:, 0] = maps[0]
    return left, right


def test_the_range_of_sizes_ends_where_it_is_said_to(circuit):
    y = rows_of(OTHER, seed=1)
    wide = [1 << 30, 1 << 30]
    for energy, missed in (
        (MIN_ENERGY, 0),
        (MIN_ENERGY - 1, MAPS),
        (MAX_ENERGY, 0),
        (MAX_ENERGY + 1, MAPS),
    ):
        x = with_energy(SMALL, energy)
        assert circuit.held(x, y, wide) == CONDITIONS - missed


def test_maps_that_are_not_the_rows_product(circuit):
    """One entry of one map off by one shows in that term's difference, and in no other."""
    x, y = rows_of(SMALL), rows_of(OTHER, seed=1)
    for model, (t, i, j) in ((0, (0, 0, 0)), (0, (5, 15, 15)), (1, (4, 3, 9))):
        maps = [maps_of(x), maps_of(y)]
        maps[model][t][i][j] += 1
        _, *gaps = circuit.outputs(x, y, [1 << 30, 1 << 30], maps)
        assert [gap != 0 for gap in gaps] == [n == TERMS * model + t % TERMS for n in range(6)]


def test_a_pair_of_one_size(tmp_path):
    """One mask for both is one constant used twice, unless its sign differs."""
    same = Circuit(SAME, tmp_path)
    x, z = rows_of(SMALL), rows_of(SMALL, seed=3)
    total = sum_of_cosines(SAME, maps_of(x), maps_of(z))
    assert same.held(x, z, [-total, total]) == CONDITIONS
    assert same.held(z, x, [-total - 2, 1 << 30]) == CONDITIONS - 1
