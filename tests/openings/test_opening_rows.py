"""Which rows: names, and a judge's choice."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from itertools import combinations
from math import comb

import pytest

from huref_zk.commitment.descriptor import Tokens
from huref_zk.errors import InputError
from huref_zk.proofs.opening.rows import MAX_ROWS, checked, name, parse_rows, sample_rows
from huref_zk.proofs.sampling import draw_distinct, parse_nonce

NONCE = bytes(range(32))
SIZES = {"E": 70, "C": 6, "qv1": 6, "ko1": 6, "up1": 6, "gate1": 6, "down1": 6, "O": 70}


@pytest.mark.parametrize(
    "text, rows",
    [
        ("E:0,17-18;C:5;qv1:0", [("E", 0), ("E", 17), ("E", 18), ("C", 5), ("qv1", 0)]),
        ("O:3", [("O", 3)]),
        (" down1:2 , 1 ; E:4-4", [("E", 4), ("down1", 1), ("down1", 2)]),
        ("E:1,1;E:1", [("E", 1)]),
    ],
)
def test_names(text, rows, small):
    assert parse_rows(text, small.descriptor) == rows
    assert parse_rows(";".join(map(name, rows)), small.descriptor) == rows


@pytest.mark.parametrize(
    "text",
    [
        *("", "E", "E:", "W:1", "EE:1", "E:-1", "E:2-1", "E:1.5", "E:1;", "E=1", "E:1 2", "E:0x1"),
        *(f"E:0-{MAX_ROWS}", "C:0-999999", "E:1234567", "E:\u0661", "qv2:0", "qv:1", "U:1", "C0:1"),
        *("E:70", "C:6", "O:70", "qv1:6"),
    ],
)
def test_names_that_are_none(text, small):
    with pytest.raises(InputError):
        parse_rows(text, small.descriptor)


def test_the_largest_opening(small):
    large = replace(small.descriptor, tokens=Tokens(MAX_ROWS + 2, "0" * 64, "given"))
    assert len(parse_rows(f"E:0-{MAX_ROWS - 1}", large)) == MAX_ROWS
    for text in (f"E:0-{MAX_ROWS}", f"E:0-{MAX_ROWS - 1};C:0"):
        with pytest.raises(InputError, match=r"at most|holds 1 to"):
            parse_rows(text, large)
    with pytest.raises(InputError, match="holds 1 to"):
        checked([], large)


def test_a_choice_takes_as_many_of_every_matrix(small):
    d, root = small.descriptor, small.commitment.root
    for count in (1, 5, 6, 20, 70, 1000):
        rows = sample_rows(d, root, NONCE, count)
        assert len(set(rows)) == len(rows)
        found = Counter(matrix for matrix, _ in rows)
        assert found == {matrix: min(count, size) for matrix, size in SIZES.items()}
        assert all(0 <= row < SIZES[matrix] for matrix, row in rows)
    for count in (0, -1):
        with pytest.raises(InputError):
            sample_rows(d, root, NONCE, count)
    large = replace(d, tokens=Tokens(MAX_ROWS + 2, "0" * 64, "given"))
    with pytest.raises(InputError, match="holds 1 to"):
        sample_rows(large, root, NONCE, MAX_ROWS)


def test_a_choice_depends_on_nonce_root_and_matrix(small):
    d, root = small.descriptor, small.commitment.root
    choice = sample_rows(d, root, NONCE, 20)
    assert choice == sample_rows(d, root, NONCE, 20)
    for other in (
        sample_rows(d, root, NONCE[::-1], 20),
        sample_rows(d, root + 1, NONCE, 20),
        sample_rows(d, root, NONCE, 19),
    ):
        assert len(set(choice) & set(other)) < 60
    of_e, of_o = ([row for matrix, row in choice if matrix == m] for m in "EO")
    assert of_e != of_o


def test_odd_rows_of_a_small_matrix_are_found_as_if_it_were_alone(small):
    """Three odd rows among the six of C: two rows of a matrix miss them one time in five, however
    many rows E has."""
    d, odd = small.descriptor, {("C", 1), ("C", 3), ("C", 4)}
    misses = sum(
        odd.isdisjoint(sample_rows(d, 5, number.to_bytes(32, "big"), 2)) for number in range(600)
    )
    assert abs(misses - 600 * comb(3, 2) / comb(6, 2)) < 40  # four standard deviations


def needed(rows, odd, miss):
    """How many rows of a matrix a judge needs so as to miss all odd ones this rarely at most."""
    return next(n for n in range(1, rows + 1) if comb(rows - odd, n) / comb(rows, n) <= miss)


@pytest.mark.parametrize(
    "rows, odd, for_a_percent, for_a_millionth",
    [
        *((4096, 16, 1023, 2365), (4096, 32, 547, 1431), (4096, 40, 444, 1191)),
        *((4096, 409, 44, 130), (4096, 2048, 7, 20)),
        *((576, 16, 143, 329), (576, 32, 76, 197), (576, 57, 43, 118), (576, 288, 7, 20)),
    ],
)
def test_the_table_of_misses(rows, odd, for_a_percent, for_a_millionth):
    """The figures of docs/openings.md."""
    assert (needed(rows, odd, 0.01), needed(rows, odd, 1e-6)) == (for_a_percent, for_a_millionth)


def test_choices_are_uniform():
    """Every pair out of five about equally often: chi-square with 9 degrees of freedom."""
    counts = Counter(
        tuple(draw_distinct(b"test", [i.to_bytes(4, "big")], 5, 2)) for i in range(3000)
    )
    assert set(counts) == set(combinations(range(5), 2))
    assert sum((n - 300) ** 2 / 300 for n in counts.values()) < 28  # p = 0.001


def test_material_is_length_prefixed():
    parts = ([b"ab", b"c"], [b"a", b"bc"], [b"abc"], [b"ab", b"c", b""])
    drawn = {tuple(draw_distinct(b"x", list(part), 10**6, 4)) for part in parts}
    assert len(drawn) == 4
    assert tuple(draw_distinct(b"y", list(parts[0]), 10**6, 4)) not in drawn


def test_more_than_one_block_of_draws():
    assert draw_distinct(b"x", [], 1000, 1000) == list(range(1000))


def test_nonces():
    text = hashlib.sha256(b"").hexdigest()
    assert parse_nonce(text).hex() == text
    for wrong in ("", text[:-2], text + "00", "g" * 64, " " + text[1:], text[:32] + " " * 32):
        with pytest.raises(InputError, match="64 hex digits"):
            parse_nonce(wrong)
