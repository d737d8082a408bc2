import pytest

from huref_zk.commitment.commit import Owner
from huref_zk.proofs.kernel import Setup
from huref_zk.proofs.opening.prove import open_rows
from huref_zk.srs.file import Srs
from tests.support.small_owner import AUDITED, small_owner, small_srs


@pytest.fixture(scope="session")
def opening_cache(tmp_path_factory):
    """A key folder with the test SRS for 2^8 rows."""
    folder = tmp_path_factory.mktemp("keys")
    small_srs(folder)
    return folder


@pytest.fixture(scope="session")
def opening_srs(opening_cache) -> Srs:
    return Srs.open(next(opening_cache.glob("*.srs")))


@pytest.fixture(scope="session")
def opening_setup(opening_cache) -> Setup:
    return Setup(opening_cache, allow_test=True)


@pytest.fixture(scope="session")
def small(opening_srs) -> Owner:
    """K = 70 tokens (three leaves of the tree), hidden size 6, one layer and the output audited."""
    return small_owner(opening_srs, count=70, audited=AUDITED, output=True, size=1 << 15)


@pytest.fixture(scope="session")
def opening_of(small, opening_srs):
    """Opens rows of the small commitment."""
    return lambda rows: open_rows(small, rows, opening_srs)
