import pytest

from huref_zk.commitment.file import commit, token_digest
from huref_zk.invariants.quantise import Quantised
from huref_zk.srs.file import Srs
from huref_zk.srs.insecure import insecure_srs
from tests.support.small_model import SECRET, WIDTHS, D, K, make_model


@pytest.fixture(scope="session")
def srs(tmp_path_factory) -> Srs:
    return Srs.open(insecure_srs(8, tmp_path_factory.mktemp("srs") / "8.srs"))


@pytest.fixture(scope="session")
def committing(srs):
    """Commits to a model of make_model."""

    def make(quantised, secret=SECRET):
        facts = {
            "model": {"hidden_size": D},
            "layers": [0, 1],
            "widths": list(WIDTHS),
            "tokens": {"count": K, "digest": token_digest(range(K))},
            "scales": quantised.scales,
        }
        return commit(quantised, facts, secret, srs, 1)

    return make


@pytest.fixture(scope="session")
def model() -> Quantised:
    return make_model()


@pytest.fixture(scope="session")
def commitment(model, committing):
    return committing(model)
