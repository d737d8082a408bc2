"""Every step of the verifier refuses something that no other step would"""

from __future__ import annotations

import pytest

from huref_zk.proofs.kernel import STEPS
from soundness.cheats.steps import ONLY, without_step
from soundness.record import aside
from tests.support.tampering import NAMES, accepted, refused


def test_every_step_but_parsing_has_its_cheat():
    assert ["parse", *ONLY] == [name for name, _ in STEPS["picture"]]


@pytest.mark.attack(
    "Honest to all steps of the verifier but one",
    control="where the verifier leaves that step out",
    each=True,
)
@pytest.mark.parametrize("name", ONLY, ids=lambda name: ONLY[name].__name__.replace("_", " "))
def test_a_step_alone_refuses_its_cheat(chain, stranger, tmp_path, name):
    bundle, changes = ONLY[name](chain, stranger, tmp_path)
    number = NAMES.index(name)
    refused(number, None, chain, bundle, **changes)
    for other in set(ONLY) - {name}:
        with aside(), without_step(other):
            refused(number, None, chain, bundle, **changes)
    with without_step(name):
        # With a set-up named, accepted() judges it and does not remember it.
        accepted(chain, bundle, **{"setup": chain.setup, **changes})
    accepted(chain)
