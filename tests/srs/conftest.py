import pytest

from huref_zk.srs.file import Srs, test_srs


@pytest.fixture(scope="session")
def srs(tmp_path_factory) -> Srs:
    """The test SRS for 2^8 rows."""
    return Srs.open(test_srs(8, tmp_path_factory.mktemp("srs") / "8.srs"))
