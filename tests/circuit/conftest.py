"""The circuit of the smallest models: compiled once, and its keys derived once, a session."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from huref_zk.circuit import keys
from huref_zk.circuit.keys import Keys
from huref_zk.circuit.shape import Shape, shape_for
from huref_zk.srs.file import Srs
from huref_zk.srs.trust import find_test_srs
from tests.support.circuit_rows import compiled

SMALL = shape_for(16)


@pytest.fixture(scope="session")
def circuit(tmp_path_factory) -> Path:
    """The circuit of SMALL, for witnesses."""
    return compiled(SMALL, tmp_path_factory.mktemp("compiled"))


@dataclass(frozen=True)
class Derived:
    """Keys of SMALL that can prove, in their cache."""

    shape: Shape
    srs: Srs
    keys: Keys
    cache: Path


@pytest.fixture(scope="session")
def derived(tmp_path_factory):
    cache = tmp_path_factory.mktemp("keys")
    srs = find_test_srs(SMALL.k, cache, make=True)
    yield Derived(SMALL, srs, keys.derive(SMALL, srs, cache), cache)
    shutil.rmtree(cache)  # a proving key of a hundred megabytes, which pytest would keep
