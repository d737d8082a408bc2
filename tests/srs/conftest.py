import pytest

from huref_zk.srs.file import Srs
from huref_zk.srs.insecure import insecure_srs


@pytest.fixture(scope="session")
def srs(tmp_path_factory) -> Srs:
    """The test SRS for 2^8 rows."""
    return Srs.open(insecure_srs(8, tmp_path_factory.mktemp("srs") / "8.srs"))
