"""An owner who commits to next to nothing and says that its unit is huge.

What the blocks add may miss what the stream does by the rounding of the committed weights, and how
large that is follows from their scales, which are the owner's word. Zeros under a scale of 2^-20
would explain any stream: the run of any model at all.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from huref_zk.proofs.inference.public import ROUNDING, check_public
from huref_zk.proofs.inference.run import run_model
from huref_zk.srs.trust import find_test_srs
from tests.support.audited import Owner, commit_to, witness_of, write_tied_model

IDS = tuple(int(i) for i in np.random.default_rng(1).permutation(160)[:24])
BLOCKS = tuple(f"{m}{i}" for i in (0, 1) for m in ("qv", "ko", "up", "gate", "down"))
COARSE = repr(2.0**-20)


@pytest.fixture(scope="module")
def owning(tmp_path_factory):
    """Makes owners of one run; matrices, scales: what is committed in place of the model's."""
    folder = tmp_path_factory.mktemp("coarse")
    srs = find_test_srs(8, folder, make=True)
    model = write_tied_model(folder / "model")
    run = run_model(str(model), (0, 1), None, IDS)

    def make(change=None, scales=()) -> Owner:
        witness, prepared = witness_of(model, srs, (0, 1), False)
        descriptor = witness.descriptor
        told = {**descriptor.scales, **dict(scales)}
        matrices = dict(witness.matrices)
        for name in BLOCKS if change else ():
            matrices[name] = change(name, matrices[name])
        made = replace(witness, descriptor=replace(descriptor, scales=told), matrices=matrices)
        tokens = tuple(prepared.cores.token_ids.tolist())
        return Owner(commit_to(made, srs), tokens, srs, folder, run)

    return make


def all_scales(owner: Owner) -> dict[str, str]:
    names = owner.held.descriptor.scales
    return {name: COARSE for name in names if name[-1] in "01" or ".o" in name if name[0] != "C"}


def test_zeros_with_a_huge_unit(owning):
    honest = owning()
    assert honest.refusal(honest.audit()) == ("", "")
    scales = all_scales(honest)
    assert {"ko0.o", "down1"} <= set(scales)
    nothing = owning(lambda _, matrix: np.zeros_like(matrix), scales)
    step, message = nothing.refusal(nothing.audit())
    assert step == "public" and "committed too coarsely" in message


def test_zeros_with_the_right_unit(owning):
    """Control: under the honest scales the stream gives the zeros away as it is."""
    nothing = owning(lambda _, matrix: np.zeros_like(matrix))
    assert nothing.refusal(nothing.audit())[0] == "public"


def test_another_models_output_weights_with_a_huge_unit(owning):
    """At all positions, where attention is recomputed: Wo and Wdown alone are made coarse."""
    rng = np.random.default_rng(5)

    def other(name: str, matrix: np.ndarray) -> np.ndarray:
        out = matrix.copy()
        start = {"ko": matrix.shape[1] // 2, "do": 0}.get(name[:2])
        if start is not None:
            out[:, start:] = rng.integers(-1, 2, out[:, start:].shape)
        return out

    scales = {
        f"{name}{i}{more}": COARSE for i in (0, 1) for name, more in (("ko", ".o"), ("down", ""))
    }
    coarse = owning(other, scales)
    audit = coarse.audit(count=len(IDS))
    demand = coarse.demand(positions=None)
    step, message = coarse.refusal(audit, demand)
    assert step == "public" and "committed too coarsely" in message


def test_honest_weights_are_far_from_too_coarse(owning):
    """What rounding explains of what a block adds, in an honest audit: a hundredth, not a tenth."""
    owner = owning()
    audit = owner.audit(count=len(IDS))
    head, claims = audit.head, audit.claims
    places = owner.places(head)
    found = check_public(owner.held.descriptor, head, claims, places)
    assert found.residual < ROUNDING
    for layer in claims.layers:
        for given, added in ((layer.a, layer.att), (layer.mid, layer.ffn)):
            rounding = np.sqrt(added.shape[1] / 12) * np.linalg.norm(given.astype(float), axis=1)
            assert (rounding < 0.01 * np.linalg.norm(added.astype(float), axis=1)).all()
