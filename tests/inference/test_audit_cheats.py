"""Owners who claim what the committed weights do not give, and what a sample cannot tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from huref_zk.curve.bn254 import R
from huref_zk.errors import StepFailed
from huref_zk.invariants.prepare import prepare
from huref_zk.proofs.inference.claims import X_BITS, norm_integers, scaled
from huref_zk.proofs.inference.file import choose_positions
from huref_zk.proofs.inference.linear import STEP
from huref_zk.proofs.inference.public import check_public
from tests.support.audited import COUNT, NONCE, bumped


@pytest.fixture(scope="module")
def honest(owner):
    audit = owner.audit()
    assert owner.refusal(audit) == (None, "")
    return audit


@pytest.mark.parametrize(
    "layer, field, relation",
    [
        (0, "q", "q and v of layer 2"),
        (1, "q", "q and v of layer 3"),
        (0, "v", "q and v of layer 2"),
        (1, "up", "up of layer 3"),
        (0, "k", "k of layer 2"),
        (1, "k", "k of layer 3"),
        (0, "att", "attention and FFN outputs"),
        (1, "ffn", "attention and FFN outputs"),
        (1, "x_att", "q and v of layer 3"),
        (0, "x_ffn", "up of layer 2"),
        (1, "a", "attention and FFN outputs"),
        (0, "mid", "attention and FFN outputs"),
    ],
)
def test_one_integer(layer, field, relation, owner, honest):
    """One unit more in one entry, everything hashed and proven as it should be."""
    step, message = owner.refusal(owner.audit(bumped(layer, field)))
    assert (step, message.split(":")[0]) == (STEP, relation)


@pytest.mark.parametrize("field", ["h_in", "h_mid", "h_out", "q", "ffn", "x_att"])
def test_a_file_changed_afterwards(field, owner, honest):
    """The claims are hashed into the challenges: any change breaks the proof of all."""
    changed = replace(honest, claims=tuple(bumped(0, field, 1e-3)(list(honest.claims))))
    if field[0] != "h":
        changed = replace(honest, claims=tuple(bumped(0, field)(list(honest.claims))))
    assert owner.refusal(changed)[0] == STEP


@pytest.mark.parametrize(
    "header", [{"rms_norm_eps": "1e-05"}, {"rope_theta": ""}, {"prompt": "other"}]
)
def test_a_header_changed_afterwards(header, owner, honest):
    changed = replace(honest, header=honest.header | header)
    assert owner.refusal(changed, owner.demand(prompt=None))[0] == STEP


@pytest.mark.parametrize("where", ["t", "response", "last salt"])
def test_the_proof_itself(where, owner, honest):
    place = {"t": 63, "response": 7 * 64 + 31, "last salt": len(honest.proof) - 1}[where]
    proof = bytearray(honest.proof)
    proof[place] ^= 1
    assert owner.refusal(replace(honest, proof=bytes(proof)))[0] == STEP
    proof[place] ^= 1
    assert owner.refusal(replace(honest, proof=bytes(proof))) == (None, "")


def test_responses_that_satisfy_the_form_alone(owner, honest):
    """A salt of a response changed: no form sees it, the committed rows do."""
    length = owner.geometry.length + 8
    end = 7 * 64 + 32 * length  # of the first response
    number = (int.from_bytes(honest.proof[end - 32 : end], "big") + 1) % R
    proof = honest.proof[: end - 32] + number.to_bytes(32, "big") + honest.proof[end:]
    step, message = owner.refusal(replace(honest, proof=proof))
    assert step == STEP and "q and v of layer 2: the response" in message


@pytest.mark.parametrize("side", ["U", "V"])
@pytest.mark.parametrize("layer", [0, 1])
def test_weights_changed_in_one_row(side, layer, owner, honest):
    """The claims are right for weights that differ from the committed ones in a single row."""
    pair = [m.copy() for m in getattr(owner.quantised, side)]
    pair[layer][5] += 1
    other = replace(owner.quantised, **{side: tuple(pair)})
    for proven in (None, other):  # answering with the committed weights, or with the others
        audit = owner.audit(claimed=other, proven=proven)
        assert owner.refusal(audit)[0] == STEP


def test_the_childs_activations(owner, child_run, honest):
    """With the base's matrices they do not add up; the child's are not what is committed."""
    step, message = owner.refusal(owner.audit(run=child_run))
    assert step == 5 and "adds other values" in message
    child = prepare("demo-child", count=64).quantised
    assert owner.refusal(owner.audit(run=child_run, claimed=child))[0] == STEP


# --- claims that fit the weights, but not one another -------------------------------------------


def redone(owner, layer, number, **streams):
    """A layer's claims with other residual streams, all products as the weights give them."""
    changed = replace(layer, **streams)
    U, V = (side[number].astype(np.int64) for side in (owner.quantised.U, owner.quantised.V))
    g = owner.geometry
    a, b, f = (g.block(0, term) for term in "abf")
    x, y = changed.x_att.astype(np.int64), changed.x_ffn.astype(np.int64)
    return replace(
        changed,
        q=x @ U[:, a],
        k=x @ V[:, a],
        v=x @ U[:, b],
        up=y @ U[:, f],
        att=changed.a.astype(np.int64) @ V[:, b].T,
        ffn=changed.mid.astype(np.int64) @ V[:, f].T,
    )


def test_redoing_nothing_changes_nothing(owner, honest):
    def same(claims):
        return [redone(owner, layer, i) for i, layer in enumerate(claims)]

    assert owner.audit(same).proof == honest.proof


@pytest.mark.parametrize(
    "field, by, words",
    [
        ("x_att", 3, "attention's input in layer 2 is not"),
        ("x_ffn", 3, "FFN's input in layer 2 is not"),
        ("a", 1 << 18, "attention block of layer 2 adds other"),
        ("mid", 1 << 19, "FFN block of layer 2 adds other"),
        ("h_out", 0.5, "FFN block of layer 2 adds other"),
        ("h_out", 1e-4, "layer 3 does not start where"),
    ],
)
def test_one_activation(field, by, words, owner, honest):
    def change(claims):
        claims = bumped(0, field, by)(claims)
        claims[0] = redone(owner, claims[0], 0)
        return claims

    step, message = owner.refusal(owner.audit(change))
    assert step == 5 and words in message and "at 1 of 6 positions" in message


def test_a_large_stream_hides_nothing(owner, honest):
    """Claiming a huge residual stream does not widen what its differences may be off by."""

    def change(claims):
        layer = claims[1]
        stream = layer.h_mid + np.float32(1000) * layer.h_mid / np.abs(layer.h_mid).max()
        claims[1] = redone(
            owner, layer, 1, h_mid=stream, x_ffn=norm_integers(stream, owner.run.eps)
        )
        return claims

    step, message = owner.refusal(owner.audit(change))
    assert step == 5 and "attention block of layer 3 adds other" in message


def fabricated(owner, seed, gate=lambda up, rng: np.abs(rng.normal(size=up.shape))):
    """Claims of a run that never was: random streams and attention, everything else to fit."""
    scales = owner.commitment.descriptor["scales"]

    def change(claims):
        rng = np.random.default_rng(seed)
        stream = claims[0].h_in + rng.normal(size=claims[0].h_in.shape).astype(np.float32)
        exponents = owner.claims(len(stream), owner.run, owner.quantised)[1]
        for i, layer in enumerate(claims):
            a = scaled(rng.normal(size=layer.a.shape), exponents["a"][i])
            layer = redone(owner, replace(layer, h_in=stream, a=a), i)
            unit = 2.0 ** -(exponents["a"][i] + scales[f"V{i}b"])
            middle = (stream + unit * layer.att).astype(np.float32)
            layer = replace(
                layer,
                h_mid=middle,
                x_att=norm_integers(stream, owner.run.eps),
                x_ffn=norm_integers(middle, owner.run.eps),
            )
            layer = redone(owner, layer, i)
            up = layer.up * 2.0 ** -(X_BITS + scales[f"U{i}f"])
            mid = scaled(gate(up, rng) * up, exponents["mid"][i])
            layer = redone(owner, replace(layer, mid=mid), i)
            unit = 2.0 ** -(exponents["mid"][i] + scales[f"V{i}f"])
            stream_out = (middle + unit * layer.ffn).astype(np.float32)
            claims[i] = replace(layer, h_out=stream_out)
            stream = stream_out
        return claims

    return change


def test_a_fabricated_run_passes_a_sample_but_not_all_positions(owner):
    """What a sample does not establish, as docs/inference-audit.md says: attention goes unseen
    where earlier positions are not audited, and gates are not committed."""
    few = owner.audit(fabricated(owner, 1))
    assert owner.refusal(few) == (None, "")
    total = len(owner.run.ids)
    everything = owner.audit(fabricated(owner, 1), count=total)
    step, message = owner.refusal(everything, owner.demand(positions=None))
    assert step == 5 and "a is not the attention in layer 2" in message


def test_mid_that_no_gate_gives(owner, honest):
    def negative(up, rng):
        return rng.normal(size=up.shape)  # silu is never below -0.28

    step, message = owner.refusal(owner.audit(fabricated(owner, 1, negative)))
    assert step == 5 and "no silu(gate) times up" in message


def test_attention_with_another_base_of_the_rotation(owner):
    """theta is the owner's word; at all positions, a false one does not fit."""
    total = len(owner.run.ids)
    demand = owner.demand(positions=None)
    assert owner.refusal(owner.audit(count=total), demand) == (None, "")
    false = owner.audit(count=total, rope_theta="10.0")
    step, message = owner.refusal(false, demand)
    assert step == 5 and "a is not the attention" in message


def test_copies_of_a_kv_heads_keys(owner, honest):
    """The balance of one query head claimed to be another: its copy of the keys no longer fits."""

    def change(claims):
        factor = claims[0].r_a.copy()
        factor[0, 16:32] *= 1.1
        claims[0] = replace(claims[0], r_a=factor)
        return claims

    step, message = owner.refusal(owner.audit(change))
    assert step == 5 and "keys of a kv" in message


def test_copies_of_a_kv_heads_values(owner, honest):
    """One unit between two copies, as a commitment with unequal copies would give."""
    run, scales = owner.run, owner.commitment.descriptor["scales"]
    positions = choose_positions(owner.commitment.root, NONCE, run.ids, COUNT)

    def check(values):
        claims = (replace(honest.claims[0], v=values), *honest.claims[1:])
        hidden = honest.header["scales"]
        check_public(owner.geometry, claims, positions, scales, hidden, run.eps, run.theta)

    values = honest.claims[0].v.copy()
    check(values)
    values[3, 16] += 1
    with pytest.raises(StepFailed, match="values of a kv head differ") as failed:
        check(values)
    assert failed.value.step == 5
    values[3, 16] -= 1
    check(values)


def test_the_balance_of_a_whole_kv_head(owner):
    """A rescaling of both its copies fits the keys, but not the attention, at all positions."""

    def change(claims):
        factor = claims[0].r_a.copy()
        factor[0, :8] *= 2  # halves of the first query head, and of the other one of its kv head
        factor[0, 16:24] *= 2
        claims[0] = replace(claims[0], r_a=factor)
        return claims

    assert owner.refusal(owner.audit(change)) == (None, "")
    audit = owner.audit(change, count=len(owner.run.ids))
    step, message = owner.refusal(audit, owner.demand(positions=None))
    assert step == 5 and "a is not the attention" in message
