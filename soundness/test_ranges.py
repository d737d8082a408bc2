"""Maps out of range: cores quantised so finely, or so coarsely, that their reciprocals are free

The circuit counts the conditions 2^13 <= n <= 2^17 on the six norms that it divides by, and the
verifier demands all twelve. Without them v would not be a function of commitment and seed: where
norms are tiny, ezkl's divisions leave a cheating witness its choice of several v (slack.py says how
much they leave within the range).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from huref_zk.errors import InputError
from huref_zk.invariants.encoder import CONDITIONS, load_encoder, norms
from huref_zk.invariants.quantise import integer_maps
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.proofs.picture.prove import prove
from huref_zk.proofs.prepare import fingerprint_vector
from huref_zk.render import render
from huref_zk.render.image import write_png
from soundness.cheats.halo2 import fault, maps_of, outputs_of, proven, rows_under
from tests.support.chain import write_owner
from tests.support.tampering import accepted, forge, refused


def rescaled(prepared, factor: float):
    """The same model with every core's integers times ``factor``: only their scale is another."""
    q = prepared.quantised
    found = tuple(np.rint(core * factor).astype(np.int16) for core in q.C)
    return replace(prepared, quantised=replace(q, C=found))


def owner_of(chain, prepared, folder):
    return write_owner(folder, str(chain.model), prepared, chain.owner.secret, chain.srs)


@pytest.mark.attack(
    "An honest prover but for the scale: all norms below the range, or above it",
    control="the same model at its usual scale, and a scale within the range",
)
@pytest.mark.parametrize(
    ("factor", "held"), [(0.2, 6), pytest.param(6.0, 6, marks=pytest.mark.heavy)]
)
def test_norms_out_of_range(chain, tmp_path, factor, held):
    owner = owner_of(chain, rescaled(chain.prepared, factor), tmp_path / "owner")
    rows = rows_under(owner, PUBLIC_SEED)
    v, found = outputs_of(chain, maps_of(rows))
    assert found == held
    proof = proven(chain, rows, v, held)
    assert fault(chain, proof, v, held) is None  # true, only of fewer conditions than are demanded
    picture = tmp_path / "picture.png"
    write_png(picture, render(list(v), chain.generator))
    bundle = forge(chain, owner=owner, v=v, proof=proof)
    changes = {"expected": owner.commitment.root_hex, "image": picture}
    refused(5, "does not hold", chain, bundle, **changes)
    with pytest.MonkeyPatch.context() as patch:  # a verifier that demands no more than holds
        patch.setattr("huref_zk.proofs.picture.verify.CONDITIONS", held)
        accepted(chain, bundle, **changes)
    with pytest.raises(InputError, match=f"only {held} of the circuit's {CONDITIONS} conditions"):
        prove(owner, PUBLIC_SEED, chain.srs, chain.cache, chain.generator)
    accepted(chain)


def test_a_scale_within_the_range_changes_nothing_that_is_seen(chain):
    """The control: half the scale is another commitment, but v turns by rounding alone."""
    honest, shape = chain.prepared, chain.prepared.shape
    for factor in (0.6, 1.7):
        q = rescaled(honest, factor).quantised
        sizes = norms(load_encoder(), integer_maps(q, PUBLIC_SEED), shape.shift)
        assert all(1 << 13 <= n <= 1 << 17 for n in sizes)
        one, other = (
            np.array(fingerprint_vector(x, shape, PUBLIC_SEED), float)
            for x in (honest.quantised, q)
        )
        assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 0.9999
    # Out of it, rounding eats the fingerprint.
    q = rescaled(honest, 2**-6).quantised
    other = np.array(fingerprint_vector(q, shape, PUBLIC_SEED), float)
    assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) < 0.9999
