"""Each equation of docs/protocol.md, broken alone by a prover who is honest otherwise."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import pytest

from huref_zk.argument import projection_verifier as verifier
from huref_zk.argument.projection_proof import (
    ProjectionProof,
    SideProof,
    parse_projection,
    serialise_projection,
)
from huref_zk.argument.transcript import Transcript
from huref_zk.circuit.encoder import P
from huref_zk.commitment.salts import E_SALTS
from huref_zk.curve import bn254
from huref_zk.invariants.sketch import PUBLIC_SEED
from tests.support.cheats import (
    BREAKS_EMBEDDING,
    BREAKS_FACTOR,
    EMBEDDING,
    FACTOR,
    failing,
    row_points,
    shifted,
)
from tests.support.tampering import OPENING, accepted, forge, pack_bundle, refused


def test_nothing_fails_without_a_cheat(chain):
    assert failing(chain, chain.bundle) == []
    assert pack_bundle(forge(chain)) == chain.bundle_file.read_bytes()
    accepted(chain)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(
    ("cheat", "equations"),
    [*((c, FACTOR) for c in BREAKS_FACTOR), *((c, EMBEDDING) for c in BREAKS_EMBEDDING)],
)
def test_one_equation_broken_alone(chain, cheat, equations, side):
    """The control is test_nothing_fails_without_a_cheat: the same prover without the cheat."""
    bundle = forge(chain, **cheat(chain, side))
    assert failing(chain, bundle) == [equations[side]]
    words = equations[side].replace("(", r"\(").replace(")", r"\)")
    refused(4, words, chain, bundle)
    accepted(chain)


def test_sides_exchanged(chain):
    """The two parts of the proof, the rows, or both."""
    proof = parse_projection(chain.bundle.projection, chain.commitment)
    crossed = serialise_projection(ProjectionProof((proof.sides[1], proof.sides[0])))
    half = OPENING // 2
    halo2 = chain.bundle.proof
    turned = halo2[half:OPENING] + halo2[:half] + halo2[OPENING:]
    for change in (
        {"projection": crossed},
        {"proof": turned},
        {"projection": crossed, "proof": turned},
    ):
        refused(4, "equation", chain, replace(chain.bundle, **change))
    accepted(chain, replace(chain.bundle, projection=serialise_projection(proof)))


# --- the challenge -------------------------------------------------------------------------------


def test_errors_that_cancel_each_other(chain):
    """R of one side too large and R of the other too small, by the same point: the equations add up
    to infinity unless each has a weight of its own."""
    bundle = forge(chain, draw_rho=shifted({0: (1, 0), 1: (-1, 0)}))
    assert failing(chain, bundle) == EMBEDDING
    refused(4, "embedding equation", chain, bundle)
    drawn = Transcript.challenges

    def equal_weights(self, label, count):
        weights = drawn(self, label, count)
        return [1] * count if label == "batch" else weights

    with patch.object(Transcript, "challenges", equal_weights):  # the control
        accepted(chain, bundle, cache=chain.cache)


def test_a_challenge_known_beforehand(chain):
    """Who knows rho first needs to know nothing else: any y, and R and T such that it all holds.

    That is the simulator of the zero-knowledge argument; only the hash stands in its way.
    """
    c = chain.commitment
    length = c.hidden + E_SALTS
    rhos = [[3 + side + i for i in range(P)] for side in (0, 1)]
    responses = [tuple(range(1 + side, 1 + side + length)) for side in (0, 1)]
    rows = row_points(chain, chain.bundle)
    zero = ProjectionProof(tuple(SideProof(None, None, y) for y in responses))
    terms = verifier._equations(c, PUBLIC_SEED, P, zero, rows, rhos, chain.srs)
    values = [bn254.msm(*map(list, zip(*t, strict=True))) for _, t in terms]
    simulated = ProjectionProof(
        tuple(SideProof(values[2 * s], values[2 * s + 1], responses[s]) for s in (0, 1))
    )
    bundle = replace(chain.bundle, projection=serialise_projection(simulated))
    assert len(failing(chain, bundle)) == 4
    refused(4, "equation", chain, bundle)
    with patch.object(verifier, "draw_rho", lambda *_: rhos):  # the control
        assert failing(chain, bundle) == []
        accepted(chain, bundle, cache=chain.cache)
