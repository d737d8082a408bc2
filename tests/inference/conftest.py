import pytest

from huref_zk.invariants.prepare import commit_model, prepare
from huref_zk.proofs.inference.run import run_model
from huref_zk.srs.trust import find_srs
from tests.support.audited import PROMPT, SECRET, Owner


@pytest.fixture(scope="session")
def base_run():
    return run_model("demo-base", (2, 3), PROMPT, None)


@pytest.fixture(scope="session")
def child_run():
    return run_model("demo-child", (2, 3), PROMPT, None)


@pytest.fixture(scope="session")
def owner(tmp_path_factory, base_run) -> Owner:
    """demo-base, committed with 64 tokens of its vocabulary."""
    cache = tmp_path_factory.mktemp("keys")
    prepared = prepare("demo-base", count=64)
    srs = find_srs(prepared.shape.k, cache, make_test=True)
    return Owner(prepared, commit_model(prepared, SECRET, srs), srs, cache, base_run)
