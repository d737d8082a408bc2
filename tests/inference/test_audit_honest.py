"""Honest audits pass; what is demanded must be what was audited."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from huref_zk.errors import InputError, StepFailed
from huref_zk.proofs.inference.claims import LayerClaims
from huref_zk.proofs.inference.file import choose_positions, parse_audit, serialise_audit
from huref_zk.proofs.inference.prove import READ, make_audit
from huref_zk.proofs.inference.run import run_model
from huref_zk.proofs.inference.verify import Demand, verify_bytes, verify_file
from huref_zk.proofs.kernel import STEPS, Setup
from tests.support.audited import COUNT, NONCE


@pytest.fixture(scope="module")
def honest(owner):
    return make_audit(owner.held, owner.run, owner.tokens, NONCE, COUNT, owner.srs, owner.cache)


def test_an_honest_audit(honest, owner):
    audit, report, errors = honest
    assert [step.name for step in report.steps] == [name for name, _ in STEPS["inference"]]
    measured = report.facts["measured"]
    assert 0.5 < measured["residual"] < 1.5  # in rounding errors: they are what they should be
    assert measured["activation"] < 0.02 and measured["joined"] == 1
    assert set(errors) == {"q", "k", "v", "up", "gate"} and max(errors.values()) < 0.01
    assert report.test_setup and report.facts["audit"]["layers"] == [2, 3]
    assert report.facts["logits"]["matrix"] == "O"
    assert len(audit.proof) == 13


def test_all_positions(owner):
    total = len(owner.run.ids)
    audit, report, _ = make_audit(
        owner.held, owner.run, owner.tokens, NONCE, None, owner.srs, owner.cache
    )
    assert owner.refusal(audit, owner.demand(positions=None)) == ("", "")
    measured = report.facts["measured"]
    assert measured["attended"] == 2 * total and 0 < measured["attention"] < 0.02
    assert audit.head.positions == total


def test_the_dishonest_owner_of_these_tests_can_be_honest(honest, owner):
    """The control of every other test: the same bytes as from the real prover."""
    assert serialise_audit(owner.audit()) == serialise_audit(honest[0])


def test_bytes(honest, owner):
    data = serialise_audit(honest[0])
    audit, commitment = parse_audit(data)
    assert serialise_audit(audit) == data
    assert commitment == owner.held.commitment
    for field in fields(LayerClaims):
        ours, theirs = (getattr(a.claims.layers[1], field.name) for a in (audit, honest[0]))
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


def test_claims_are_the_models_activations(honest, owner):
    """q before RoPE, k, v, up, gate within a percent of the model's own; positions the nonce's."""
    root = owner.held.commitment.root
    positions = choose_positions(root, NONCE, owner.run.ids, COUNT)
    assert len(set(positions)) == COUNT
    scales = owner.held.descriptor.scales
    for number, layer, true in zip((2, 3), honest[0].claims.layers, owner.run.layers, strict=True):
        np.testing.assert_array_equal(layer.h_in, true.h_in[positions])
        for name, block in READ.items():
            real = getattr(layer, name) * 2.0**-12 / float(scales[block.format(number)])
            wanted = getattr(true, name)[positions]
            assert real.shape == wanted.shape
            assert np.linalg.norm(real - wanted) < 0.01 * np.linalg.norm(wanted)


# --- the demand ----------------------------------------------------------------------------------


def test_another_nonce(honest, owner):
    other = NONCE[::-1]
    assert owner.refusal(honest[0], owner.demand(nonce=other))[0] == "demand"
    # Written over in the header, it is not the one that was hashed into the proof.
    relabelled = replace(honest[0], head=replace(honest[0].head, nonce=other.hex()))
    assert owner.refusal(relabelled, owner.demand(nonce=other))[0] == "linear"


def test_another_prompt(honest, owner):
    ids = (*owner.run.ids[:-1], owner.run.ids[-1] ^ 1)
    assert owner.refusal(honest[0], owner.demand(ids=ids))[0] == "demand"
    assert owner.refusal(honest[0], owner.demand(ids=owner.run.ids[::-1]))[0] == "demand"
    assert owner.refusal(honest[0], owner.demand(ids=None)) == ("", "")
    relabelled = replace(honest[0], ids=ids)
    assert owner.refusal(relabelled, owner.demand(ids=ids))[0] == "linear"


def test_fewer_positions(honest, owner):
    assert owner.refusal(honest[0], owner.demand(positions=COUNT + 1))[0] == "demand"
    assert owner.refusal(honest[0], owner.demand(positions=None))[0] == "demand"
    assert owner.refusal(honest[0], owner.demand(positions=COUNT - 1)) == ("", "")


def test_another_root_or_setup(honest, owner):
    data, root = serialise_audit(honest[0]), owner.held.commitment.root_hex
    for wanted, setup, step in (
        ("0" * 64, owner.setup, "commitment"),
        (root, Setup(owner.cache), "SRS"),
    ):
        with pytest.raises(StepFailed) as caught:
            verify_bytes(data, wanted, setup, owner.demand())
        assert caught.value.name == step


def test_a_file(honest, owner, tmp_path):
    path, heard = tmp_path / "a.hza", []
    rest = (owner.held.commitment.root_hex, owner.setup, owner.demand())
    with pytest.raises(InputError, match="missing"):
        verify_file(path, *rest)
    path.write_bytes(serialise_audit(honest[0]))
    verify_file(path, *rest, heard=lambda step: heard.append(step.number))
    assert heard == [0, 1, 2, 3, 4, 5]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StepFailed) as caught:
        verify_file(path, *rest)
    assert caught.value.step == 0


def test_reordered_tokens(honest, owner):
    """The K tokens named in another order than that of E's rows."""
    changed = replace(honest[0], tokens=(*honest[0].tokens[1:], honest[0].tokens[0]))
    step, message = owner.refusal(changed)
    assert step == "commitment" and "other tokens" in message


def test_other_positions_for_other_roots_and_counts():
    ids = tuple(range(1000))
    chosen = choose_positions(7, NONCE, ids, 50)
    assert chosen == choose_positions(7, NONCE, ids, 50)
    others = [
        choose_positions(8, NONCE, ids, 50),
        choose_positions(7, NONCE[::-1], ids, 50),
        choose_positions(7, NONCE, ids[::-1], 50),
    ]
    assert all(len(set(chosen) & set(other)) < 25 for other in others)


# --- the owner's side ----------------------------------------------------------------------------


def test_models_and_prompts_that_do_not_fit():
    assert run_model("demo-base", (3,), None, [1, 2]).ids == (1, 2)
    for ids in ([], [4160], [-1], [1] * 257):
        with pytest.raises(InputError):
            run_model("demo-base", (3,), None, ids)
    with pytest.raises(InputError, match="no layer 4"):
        run_model("demo-base", (3, 4), None, [1])


def test_another_secret_model_or_tokens(owner, child_run):
    rest = (NONCE, COUNT, owner.srs, owner.cache)
    with pytest.raises(InputError, match="do not belong together"):
        make_audit(replace(owner.held, secret=bytes(32)), owner.run, owner.tokens, *rest)
    with pytest.raises(StepFailed, match="adds other values"):
        make_audit(owner.held, child_run, owner.tokens, *rest)
    with pytest.raises(InputError, match="not the tokens"):
        make_audit(owner.held, owner.run, owner.tokens[::-1], *rest)


def test_a_demand_without_a_prompt_says_so(honest, owner):
    report = owner.report(honest[0], Demand(NONCE, None, COUNT))
    assert report.facts["audit"]["prompt_checked"] is False
