"""Two small models of one shape, and what is proven of how similar they are, once a session."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from huref_zk.circuit import keys
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.proofs.similarity.exact import TOP, Range, exactly
from huref_zk.proofs.similarity.file import PairBundle
from huref_zk.proofs.similarity.prove import Member, prove_similarity, similarity
from huref_zk.proofs.similarity.shape import PairShape
from huref_zk.proofs.similarity.verify import pair_of


@dataclass(frozen=True)
class Pair:
    """chains: conftest.Chain of either model; total: 6 s in units of 2^-24, under the public seed.

    exact: the honest proof of s; threshold: that of s >= one cell less than it is.
    """

    chains: tuple
    members: tuple[Member, Member]
    shape: PairShape
    keys: keys.Keys
    total: int
    exact: PairBundle
    threshold: PairBundle

    @property
    def roots(self) -> tuple[str, str]:
        first, second = (m.commitment.root_hex for m in self.members)
        return first, second


@pytest.fixture(scope="session")
def pair(chain, stranger) -> Pair:
    first, second = (Member(c.prepared, c.commitment, c.secret) for c in (chain, stranger))
    shape = pair_of((first.commitment, second.commitment))
    derived = keys.derive(shape, chain.srs, chain.cache)
    total = similarity(shape, first.prepared, second.prepared, PUBLIC_SEED)
    below = Range(exactly(total).low - 1, TOP)
    exact, threshold = (
        prove_similarity((first, second), PUBLIC_SEED, chain.srs, chain.cache, bounds)
        for bounds in (None, below)
    )
    return Pair((chain, stranger), (first, second), shape, derived, total, exact, threshold)
