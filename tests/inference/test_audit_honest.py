"""Honest audits pass; what is demanded must be what was audited."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from huref_zk.curve.bn254 import R
from huref_zk.errors import InputError, StepFailed
from huref_zk.models.load import EMBEDDED
from huref_zk.proofs.inference.claims import LayerClaims
from huref_zk.proofs.inference.file import choose_positions, parse_audit, serialise_audit
from huref_zk.proofs.inference.linear import combined_row
from huref_zk.proofs.inference.prove import balances, make_audit
from huref_zk.proofs.inference.run import run_model
from huref_zk.proofs.inference.verify import check_audit
from tests.support.audited import COUNT, NONCE, PROMPT, SECRET


@pytest.fixture(scope="module")
def honest(owner):
    return make_audit(
        *(owner.run, PROMPT, NONCE, COUNT, owner.prepared, SECRET, owner.commitment, owner.srs)
    )


def test_an_honest_audit(honest, owner):
    audit, measured, errors = honest
    assert owner.refusal(audit) == (None, "")
    assert 0.5 < measured.residual < 1.5  # in rounding errors: they are what they should be
    assert measured.activation < 0.005 and measured.joined == 1
    assert set(errors) == {"q", "k", "v", "up"} and max(errors.values()) < 0.01


def test_all_positions(owner):
    total = len(owner.run.ids)
    audit, measured, _ = make_audit(
        *(owner.run, PROMPT, NONCE, None, owner.prepared, SECRET, owner.commitment, owner.srs)
    )
    assert owner.refusal(audit, owner.demand(positions=None)) == (None, "")
    assert measured.attended == 2 * total and 0 < measured.attention < 0.02
    # The sample's check of attention is for prefixes only: here all claims of every position.
    assert audit.header["positions"] == total


def test_the_dishonest_owner_of_these_tests_can_be_honest(honest, owner):
    """The control of every other test: the same bytes as from the real prover."""
    assert serialise_audit(owner.audit()) == serialise_audit(honest[0])


def test_bytes(honest, owner):
    data = serialise_audit(honest[0])
    audit, commitment = parse_audit(data)
    assert serialise_audit(audit) == data
    assert commitment == owner.commitment
    assert owner.refusal(audit) == (None, "")
    for field in fields(LayerClaims):
        name = field.name
        ours, theirs = (getattr(a.claims[1], name) for a in (audit, honest[0]))
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


def test_claims_are_the_models_activations(honest, owner):
    """q before RoPE, k, v, up within a percent of the model's own; positions the nonce's."""
    positions = choose_positions(owner.commitment.root, NONCE, owner.run.ids, COUNT)
    assert len(set(positions)) == COUNT
    scales = owner.commitment.descriptor["scales"]
    found = balances(owner.run, owner.prepared.canonical, owner.geometry)
    for i, layer in enumerate(honest[0].claims):
        true = owner.run.layers[i]
        np.testing.assert_array_equal(layer.h_in, true.h_in[positions])
        for name, scale in (("q", "U{}a"), ("k", "V{}a"), ("v", "U{}b")):
            real = getattr(layer, name) * 2.0 ** -(12 + scales[scale.format(i)])
            wanted = getattr(true, name)[positions]
            if name != "q":
                wanted = owner.geometry.repeated(wanted)
            if name == "v":
                wanted = found[i].values(wanted)
            else:
                real *= {"q": 1 / layer.r_a, "k": layer.r_a}[name]
            assert real.shape == wanted.shape
            assert np.linalg.norm(real - wanted) < 0.01 * np.linalg.norm(wanted)


def test_balances_are_the_canonical_forms(owner):
    """Columns of U over r, and of V times r, are the model's own weights times the norms' gains;
    values and Wo the same with X and X^-T."""
    from safetensors.numpy import load_file

    tensors = load_file(EMBEDDED["demo-base"] / "model.safetensors")
    found = balances(owner.run, owner.prepared.canonical, owner.geometry)
    for i, number in enumerate((2, 3)):
        name = f"model.layers.{number}."
        gain = tensors[name + "post_attention_layernorm.weight"].astype(np.float64)
        up = tensors[name + "mlp.up_proj.weight"].astype(np.float64) * gain
        down = tensors[name + "mlp.down_proj.weight"].astype(np.float64)
        block = owner.geometry.block(0, "f")
        r_f = found[i].r_f
        U, V = (
            side[i][:, block] for side in (owner.prepared.canonical.U, owner.prepared.canonical.V)
        )
        np.testing.assert_allclose(U / r_f, up.T, rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(V * r_f, down, rtol=1e-5, atol=1e-8)
        gain = tensors[name + "input_layernorm.weight"].astype(np.float64)
        value, out = (tensors[f"{name}self_attn.{x}_proj.weight"].astype(np.float64) for x in "vo")
        block, X = owner.geometry.block(0, "b"), found[i].X
        U, V = (
            side[i][:, block] for side in (owner.prepared.canonical.U, owner.prepared.canonical.V)
        )
        repeated = owner.geometry.repeated(value.T * gain[:, None])
        np.testing.assert_allclose(found[i].values(repeated), U, atol=1e-6)
        back = replace(found[i], X=np.linalg.inv(X).transpose(0, 2, 1))
        np.testing.assert_allclose(back.values(out), V, atol=1e-6)
        assert not np.allclose(found[i].values(repeated), repeated, atol=1e-3)


def test_a_combined_row_is_exact():
    rng = np.random.default_rng(0)
    matrix = rng.integers(-32767, 32768, (40, 7)).astype(np.int32)
    salts = [[int(x) for x in rng.integers(0, 2**62, 3)] for _ in range(40)]
    weights = [int.from_bytes(rng.bytes(32), "big") % R for _ in range(39)] + [R - 1]
    expected = [
        sum(w * int(v) for w, v in zip(weights, column, strict=True)) % R
        for column in [*matrix.T.tolist(), *zip(*salts, strict=True)]
    ]
    assert combined_row(matrix, salts, weights) == expected


# --- the demand ----------------------------------------------------------------------------------


def test_another_nonce(honest, owner):
    other = NONCE[::-1]
    assert owner.refusal(honest[0], owner.demand(nonce=other))[0] == 3
    # Written over in the header, it is not the one that was hashed into the proof.
    relabelled = replace(honest[0], header=honest[0].header | {"nonce": other.hex()})
    assert owner.refusal(relabelled, owner.demand(nonce=other))[0] == 4


def test_another_prompt(honest, owner):
    ids = (*owner.run.ids[:-1], owner.run.ids[-1] ^ 1)
    assert owner.refusal(honest[0], owner.demand(ids=ids))[0] == 3
    assert owner.refusal(honest[0], owner.demand(ids=None, prompt="def"))[0] == 3
    assert owner.refusal(honest[0], owner.demand(ids=None)) == (None, "")
    assert owner.refusal(honest[0], owner.demand(prompt=None)) == (None, "")
    relabelled = replace(honest[0], ids=ids)
    assert owner.refusal(relabelled, owner.demand(ids=ids))[0] == 4


def test_fewer_positions(honest, owner):
    assert owner.refusal(honest[0], owner.demand(positions=COUNT + 1))[0] == 3
    assert owner.refusal(honest[0], owner.demand(positions=None))[0] == 3
    assert owner.refusal(honest[0], owner.demand(positions=COUNT - 1)) == (None, "")


def test_another_root_or_setup(honest, owner):
    audit, commitment = honest[0], owner.commitment
    for root, allowed, step in (("0" * 64, True, 1), (commitment.root_hex, False, 2)):
        with pytest.raises(StepFailed) as caught:
            check_audit(audit, commitment, root, owner.demand(), owner.cache, allowed)
        assert caught.value.step == step


def test_other_positions_for_other_roots_and_counts(owner):
    ids = tuple(range(1000))
    chosen = choose_positions(7, NONCE, ids, 50)
    assert chosen == choose_positions(7, NONCE, ids, 50)
    others = [
        choose_positions(8, NONCE, ids, 50),
        choose_positions(7, NONCE[::-1], ids, 50),
        choose_positions(7, NONCE, ids[::-1], 50),
    ]
    assert all(len(set(chosen) & set(other)) < 25 for other in others)


def test_masks_are_fresh(honest, owner):
    """Two audits share no first message: their responses together would give rows away."""
    data = [honest[0].proof, owner.audit(nonce="00" * 32).proof]
    firsts = [{proof[i : i + 32] for i in range(0, 7 * 64, 64)} for proof in data]
    assert len(firsts[0] | firsts[1]) == 14


# --- the owner's side ----------------------------------------------------------------------------


def test_models_and_prompts_that_do_not_fit(owner):
    assert run_model("demo-base", (3,), None, [1, 2]).ids == (1, 2)
    for ids in ([], [4160], [-1], [1] * 257):
        with pytest.raises(InputError):
            run_model("demo-base", (3,), None, ids)
    with pytest.raises(InputError, match="no layer 4"):
        run_model("demo-base", (3, 4), None, [1])


def test_another_secret_or_model(owner, child_run):
    rest = (owner.commitment, owner.srs)
    with pytest.raises(InputError, match="under this secret"):
        make_audit(owner.run, PROMPT, NONCE, COUNT, owner.prepared, bytes(32), *rest)
    with pytest.raises(StepFailed, match="adds other values"):
        make_audit(child_run, PROMPT, NONCE, COUNT, owner.prepared, SECRET, *rest)
