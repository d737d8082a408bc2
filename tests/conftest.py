"""The small model's chain (tests/support/chain.py), built once a session and only when asked for.

``soundness/conftest.py`` takes its fixtures from here.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support import chain as small
from tests.support.chain import Chain


@pytest.fixture(scope="session")
def generator_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("generator") / "small.safetensors"
    small.write_generator(path, 1)
    return path


@pytest.fixture(scope="session")
def other_generator_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("generator") / "other.safetensors"
    small.write_generator(path, 2)
    return path


@pytest.fixture(scope="session")
def make_chain(tmp_path_factory, generator_file):
    """Builds the chain of the random model with the given seed; all share one cache of keys."""
    cache = tmp_path_factory.mktemp("cache")

    def make(seed: int, **options: object) -> Chain:
        folder = tmp_path_factory.mktemp("chain")
        return small.make_chain(folder, seed, cache, generator_file, **options)

    yield make
    shutil.rmtree(cache)  # proving keys of hundreds of megabytes, which pytest would keep


@pytest.fixture(scope="session")
def chain(make_chain) -> Chain:
    return make_chain(1)


@pytest.fixture(scope="session")
def stranger(make_chain) -> Chain:
    """Another model of the same shape, with an honest proof of its own."""
    return make_chain(2)


@pytest.fixture(scope="session")
def last_two(make_chain) -> Chain:
    """The first model under the recipe of two core sets."""
    return make_chain(1, recipe="last-two")
