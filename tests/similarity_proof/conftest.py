"""Small models that know each other or not, and what is proven of how similar they are, once a
session."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from huref_zk.circuit import keys
from huref_zk.circuit.shape import shape_for
from huref_zk.commitment.commit import Owner, checkpoint_salt, commit
from huref_zk.commitment.witness import make_witness
from huref_zk.invariants.quantise import quantise
from huref_zk.invariants.recipes import Cores
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.proofs.kernel import Setup
from huref_zk.proofs.prepare import Prepared, facts_of
from huref_zk.proofs.similarity.exact import TOP, Range, exactly
from huref_zk.proofs.similarity.file import PairBundle
from huref_zk.proofs.similarity.prove import prove_similarity, similarity
from huref_zk.proofs.similarity.shape import PairShape
from huref_zk.proofs.similarity.verify import pair_of
from huref_zk.srs.file import Srs
from huref_zk.srs.trust import find_srs

HIDDEN, TOKENS, K = 16, 512, 11


@dataclass(frozen=True)
class Pair:
    """total: 6 s in units of 2^-24, under the public seed; exact: the honest proof of s; threshold:
    that of s >= one cell less than it is; cores: of either model."""

    owners: tuple[Owner, Owner]
    cores: tuple[Cores, Cores]
    shape: PairShape
    srs: Srs
    keys: keys.Keys
    cache: Path
    total: int
    exact: PairBundle
    threshold: PairBundle

    @property
    def roots(self) -> tuple[str, str]:
        first, second = (owner.commitment.root_hex for owner in self.owners)
        return first, second

    @property
    def setup(self) -> Setup:
        """What accepts proofs under the test SRS."""
        return Setup(self.cache, allow_test=True)


def random_cores(seed: int, hidden: int = HIDDEN, like: Cores | None = None) -> Cores:
    """Those of a model that does not exist; a relative of ``like`` has most of its cores."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((TOKENS, hidden))
    core = rng.standard_normal((3, hidden, hidden))
    if like is not None:
        X, core = like.X, like.sets[0] + 0.5 * core
    X = X / np.sqrt(np.square(X).mean(axis=1, keepdims=True))
    facts = {"architecture": "random", "hidden_size": hidden}
    return Cores(
        "whole",
        X.astype(np.float32),
        (core.astype(np.float32),),
        (0, 1, 2),
        np.arange(TOKENS),
        "common",
        facts,
    )


def owner_of(cores: Cores, secret: bytes | None, srs: Srs) -> Owner:
    """An owner who committed to them; secret None: a public model."""
    shape = shape_for(cores.X.shape[1], K)
    q = quantise(cores, shape.shift)
    witness = make_witness(
        facts_of(Prepared(cores, q, shape, ())),
        q.E,
        q.C,
        srs,
        bytes(32),
        checkpoint_salt(secret),
        public=secret is None,
    )
    return Owner(commit(witness, secret, srs), witness, secret)


@pytest.fixture(scope="session")
def pair_cache(tmp_path_factory) -> Iterator[Path]:
    cache = tmp_path_factory.mktemp("pair-cache")
    yield cache
    shutil.rmtree(cache)  # proving keys, which pytest would keep


@pytest.fixture(scope="session")
def pair_srs(pair_cache) -> Srs:
    return find_srs(K, pair_cache, make_test=True)


@pytest.fixture(scope="session")
def pair(pair_cache, pair_srs) -> Pair:
    first = random_cores(1)
    cores = first, random_cores(2, like=first)
    owners = owner_of(cores[0], b"\1" * 32, pair_srs), owner_of(cores[1], b"\2" * 32, pair_srs)
    shape = pair_of((owners[0].commitment, owners[1].commitment))
    derived = keys.derive(shape, pair_srs, pair_cache)
    total = similarity(shape, owners, PUBLIC_SEED)
    below = Range(exactly(total).low - 1, TOP)
    exact, threshold = (
        prove_similarity(owners, PUBLIC_SEED, pair_srs, pair_cache, bounds)
        for bounds in (None, below)
    )
    return Pair(owners, cores, shape, pair_srs, derived, pair_cache, total, exact, threshold)


@pytest.fixture(scope="session")
def public(pair_srs) -> tuple[Owner, Cores]:
    """A model that anybody can commit to; no relative of the others."""
    cores = random_cores(3)
    return owner_of(cores, None, pair_srs), cores
