import pytest

from huref_zk.commitment.commit import Owner
from huref_zk.srs.file import Srs
from tests.support.projecting import prove, row_points
from tests.support.small_owner import AUDITED, small_owner, small_srs


@pytest.fixture(scope="session")
def srs(tmp_path_factory) -> Srs:
    return small_srs(tmp_path_factory.mktemp("srs"))


@pytest.fixture(scope="session")
def owners(srs) -> dict[str, Owner]:
    """By recipe: of one core set, and of two (with further matrices, that projections pass by)."""
    return {
        "whole": small_owner(srs),
        "last-two": small_owner(srs, "last-two", audited=AUDITED, output=True),
    }


@pytest.fixture(scope="session")
def honest(owners, srs):
    """By recipe: (commitment, projection proof, row points) of an honest prover."""
    found = {}
    for recipe, owner in owners.items():
        points = row_points(owner, srs)
        found[recipe] = (owner.commitment, prove(owner, points, srs), points)
    return found
