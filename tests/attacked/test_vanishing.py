"""What `compare` does not see: a marked stream and both ends hidden, at once (docs/evasion.md).

This holds the limit in place, not a wish: whoever closes it has to change this test.
"""

from __future__ import annotations

import pytest

from huref_zk.attacks import attack
from huref_zk.comparison.compare import compare
from huref_zk.comparison.comparison import Side
from tests.support.small_models import checkpoint


def verdict(name: str) -> str:
    base = checkpoint("demo-base")
    sides = [Side(n, c.model(), None) for n, c in (("a", base), ("b", attack(name, base, seed=1)))]
    return compare(sides[0], sides[1]).verdict.word


def test_at_once_they_get_away():
    assert verdict("vanishing") != "related"


@pytest.mark.parametrize("name", ["marked-stream", "hidden-ends"])
def test_either_alone_does_not(name):
    """Control: each is found by a view that the other blinds."""
    assert verdict(name) == "related"
