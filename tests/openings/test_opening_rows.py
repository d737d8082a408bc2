"""Which rows: names, and a judge's choice."""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import combinations

import pytest

from huref_zk.errors import InputError
from huref_zk.proofs.opening.rows import MAX_ROWS, name, parse_rows, sample_rows
from huref_zk.proofs.sampling import draw_distinct, parse_nonce

NONCE = bytes(range(32))


@pytest.mark.parametrize(
    "text, rows",
    [
        ("E:0,17-20;U:5;V:7", [(0, 0), (0, 17), (0, 18), (0, 19), (0, 20), (1, 5), (2, 7)]),
        ("V:3", [(2, 3)]),
        (" U:2 , 1 ; E:4-4", [(0, 4), (1, 1), (1, 2)]),
        ("E:1,1;E:1", [(0, 1)]),
    ],
)
def test_names(text, rows):
    assert parse_rows(text) == rows
    assert parse_rows(";".join(map(name, rows))) == rows


@pytest.mark.parametrize(
    "text",
    [
        *("", "E", "E:", "W:1", "EU:1", "E:-1", "E:2-1", "E:1.5", "E:1;", "E=1", "E:1 2", "E:0x1"),
        *(f"E:0-{MAX_ROWS}", "U:0-999999", f"E:0-{MAX_ROWS - 1};U:0", "E:1234567", "E:\u0661"),
    ],
)
def test_names_that_are_none(text):
    with pytest.raises(InputError):
        parse_rows(text)


def test_the_largest_range():
    assert len(parse_rows(f"E:0-{MAX_ROWS - 1}")) == MAX_ROWS


def test_a_choice_is_of_existing_rows(small_commitment):
    d, root = small_commitment.descriptor, small_commitment.root
    everything = [(0, i) for i in range(70)] + [(m, i) for m in (1, 2) for i in range(6)]
    assert sample_rows(d, root, NONCE, 82) == everything
    for count in (1, 20, 81):
        rows = sample_rows(d, root, NONCE, count)
        assert len(set(rows)) == count and rows == sorted(rows) and set(rows) <= set(everything)
    for count in (0, -1, 83):
        with pytest.raises(InputError):
            sample_rows(d, root, NONCE, count)


def test_a_choice_depends_on_nonce_root_and_count(small_commitment):
    d, root = small_commitment.descriptor, small_commitment.root
    choice = sample_rows(d, root, NONCE, 20)
    assert choice == sample_rows(d, root, NONCE, 20)
    assert choice != sample_rows(d, root, NONCE[::-1], 20)
    assert choice != sample_rows(d, root + 1, NONCE, 20)
    assert not set(sample_rows(d, root, NONCE, 19)) <= set(choice)


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
