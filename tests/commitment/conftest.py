import pytest

from huref_zk.commitment.commit import Owner
from huref_zk.srs.file import Srs
from tests.support.small_owner import AUDITED, small_owner, small_srs


@pytest.fixture(scope="session")
def srs(tmp_path_factory) -> Srs:
    return small_srs(tmp_path_factory.mktemp("srs"))


@pytest.fixture(scope="session")
def owner(srs) -> Owner:
    """Of the least that can be committed: E and one core set."""
    return small_owner(srs)


@pytest.fixture(scope="session")
def rich(srs) -> Owner:
    """Of the most: two core sets, an audited layer, the output matrix."""
    return small_owner(srs, "last-two", audited=AUDITED, output=True)


@pytest.fixture(scope="session")
def public(srs) -> Owner:
    """Of a model without a secret."""
    return small_owner(srs, public=True)
