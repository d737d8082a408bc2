import numpy as np
import pytest

from huref_zk.models.load import EMBEDDED
from huref_zk.proofs.inference.run import run_model
from huref_zk.srs.trust import find_test_srs
from tests.support.audited import (
    PROMPT,
    Owner,
    commit_to,
    served_by,
    witness_of,
    write_tied_model,
)

TIED_IDS = tuple(int(i) for i in np.random.default_rng(1).permutation(160)[:24])


@pytest.fixture(scope="session")
def audit_cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    find_test_srs(8, folder, make=True)
    return folder


@pytest.fixture(scope="session")
def base_run():
    return run_model("demo-base", (2, 3), PROMPT, None)


@pytest.fixture(scope="session")
def child_run():
    return run_model("demo-child", (2, 3), PROMPT, None)


@pytest.fixture(scope="session")
def owner(audit_cache, base_run) -> Owner:
    """demo-base with 64 tokens, its last two layers and its output matrix audited."""
    srs = find_test_srs(8, audit_cache)
    witness, prepared = witness_of("demo-base", srs, (2, 3), True)
    tokens = tuple(prepared.cores.token_ids.tolist())
    return Owner(commit_to(witness, srs), tokens, srs, audit_cache, base_run)


@pytest.fixture(scope="session")
def base_served(base_run):
    return served_by(EMBEDDED["demo-base"], base_run.ids)


@pytest.fixture(scope="session")
def tied_model(tmp_path_factory):
    return write_tied_model(tmp_path_factory.mktemp("model") / "tied")


@pytest.fixture(scope="session")
def tied_owning(tied_model, audit_cache):
    """Makes owners of the tied model, both layers audited; edit: see witness_of."""
    srs = find_test_srs(8, audit_cache)
    run = run_model(str(tied_model), (0, 1), None, TIED_IDS)

    def make(edit=None, layers=(0, 1), **options) -> Owner:
        witness, prepared = witness_of(tied_model, srs, layers, False, edit, **options)
        tokens = tuple(prepared.cores.token_ids.tolist())
        chosen = run if layers == (0, 1) else run_model(str(tied_model), layers, None, TIED_IDS)
        return Owner(commit_to(witness, srs), tokens, srs, audit_cache, chosen)

    return make


@pytest.fixture(scope="session")
def tied(tied_owning) -> Owner:
    return tied_owning()


@pytest.fixture(scope="session")
def tied_served(tied_model):
    return served_by(tied_model, TIED_IDS)
