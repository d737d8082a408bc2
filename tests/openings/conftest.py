import numpy as np
import pytest

from huref_zk.commitment.file import Commitment, commit, token_digest
from huref_zk.invariants.quantise import Quantised
from huref_zk.proofs.opening.prove import open_rows
from huref_zk.srs.file import Srs
from huref_zk.srs.insecure import insecure_file, insecure_srs

SECRET = bytes(range(32))
K, D, WIDTHS = 70, 6, (2, 3, 4)
SCALES = {f"{side}{i}{term}": 7 for side in "UV" for i in range(2) for term in "abf"} | {"E": 8}


@pytest.fixture(scope="session")
def opening_cache(tmp_path_factory):
    """A key folder with the test SRS for 2^8 rows."""
    folder = tmp_path_factory.mktemp("keys")
    insecure_srs(8, insecure_file(8, folder))
    return folder


@pytest.fixture(scope="session")
def opening_srs(opening_cache) -> Srs:
    return Srs.open(insecure_file(8, opening_cache))


@pytest.fixture(scope="session")
def small() -> Quantised:
    """K tokens (three leaves of the Merkle tree), hidden size D, two layers."""
    rng = np.random.default_rng(5)

    def draw(rows, columns):
        return rng.integers(-300, 300, (rows, columns)).astype(np.int32)

    pair = [tuple(draw(D, sum(WIDTHS)) for _ in range(2)) for _ in range(2)]
    E = draw(K, D)
    E[0, :2] = 32767, -32767  # the extremes that a row may hold
    return Quantised(E, pair[0], pair[1], WIDTHS, SCALES, 0)


@pytest.fixture(scope="session")
def small_commitment(small, opening_srs) -> Commitment:
    facts = {
        "model": {"hidden_size": D},
        "layers": [0, 1],
        "widths": list(WIDTHS),
        "tokens": {"count": K, "digest": token_digest(range(K))},
        "scales": small.scales,
    }
    return commit(small, facts, SECRET, opening_srs, 1)


@pytest.fixture(scope="session")
def opening_of(small, small_commitment, opening_srs):
    """Opens rows of the small commitment."""
    return lambda rows: open_rows(small, SECRET, small_commitment, rows, opening_srs)
