"""Every step of the verifier refuses something that no other step would"""

from __future__ import annotations

import pytest

from soundness.cheats.steps import ONLY, without_step
from soundness.record import aside
from tests.support.tampering import accepted, refused


@pytest.mark.attack(
    "Honest to all steps of the verifier but one",
    control="where the verifier leaves that step out",
    each=True,
)
@pytest.mark.parametrize("number", sorted(ONLY), ids=lambda n: ONLY[n].__name__.replace("_", " "))
def test_a_step_alone_refuses_its_cheat(chain, stranger, tmp_path, number):
    bundle, changes = ONLY[number](chain, stranger, tmp_path)
    refused(number, None, chain, bundle, **changes)
    for other in set(ONLY) - {number}:
        with aside(), without_step(other):
            refused(number, None, chain, bundle, **changes)
    with without_step(number):
        # An own cache has accepted() judge it and not remember it.
        accepted(chain, bundle, **{"cache": chain.cache, **changes})
    accepted(chain)
