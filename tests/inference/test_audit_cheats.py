"""Owners who claim what the committed weights do not give, and what a sample cannot tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from huref_zk.curve.bn254 import R
from huref_zk.proofs.inference.claims import X_BITS, norm_integers, scaled
from huref_zk.proofs.inference.prove import products
from tests.support.audited import bumped, bumped_output, with_layer, witness_of

LINEAR, PUBLIC = "linear", "public"


@pytest.fixture(scope="module")
def honest(owner):
    audit = owner.audit()
    assert owner.refusal(audit) == ("", "")
    return audit


@pytest.mark.parametrize(
    "layer, field, relation",
    [
        (0, "q", "q and v of layer 2"),
        (1, "q", "q and v of layer 3"),
        (0, "v", "q and v of layer 2"),
        (1, "up", "up of layer 3"),
        (0, "gate", "gate of layer 2"),
        (0, "k", "k of layer 2"),
        (1, "k", "k of layer 3"),
        (0, "att", "attention output of layer 2"),
        (1, "ffn", "FFN output of layer 3"),
        (1, "x_att", "q and v of layer 3"),
        (0, "x_ffn", "up of layer 2"),
        (1, "a", "attention output of layer 3"),
        (0, "mid", "FFN output of layer 2"),
    ],
)
def test_one_integer(layer, field, relation, owner, honest):
    """One unit more in one entry, everything hashed and proven as it should be."""
    step, message = owner.refusal(owner.audit(bumped(layer, field)))
    assert (step, message.split(":")[0]) == (LINEAR, relation)


@pytest.mark.parametrize("field", ["z", "s"])
def test_one_integer_of_the_output(field, owner, honest):
    step, message = owner.refusal(owner.audit(bumped_output(field)))
    assert (step, message) == (LINEAR, "logits: not what the committed rows give")


@pytest.mark.parametrize("field", ["h_in", "h_mid", "h_out", "q", "ffn", "x_att"])
def test_a_file_changed_afterwards(field, owner, honest):
    """The claims are hashed into the challenges: any change breaks the proof of all."""
    by = 1e-3 if field[0] == "h" else 1
    changed = replace(honest, claims=bumped(0, field, by)(honest.claims))
    assert owner.refusal(changed)[0] == LINEAR


@pytest.mark.parametrize("header", [{"rms_norm_eps": "1e-05"}, {"rope_theta": ""}])
def test_a_header_changed_afterwards(header, owner, honest):
    changed = replace(honest, head=replace(honest.head, **header))
    assert owner.refusal(changed)[0] == LINEAR


@pytest.mark.parametrize("index", [0, 4, 10])
@pytest.mark.parametrize("where", ["image", "first", "last salt"])
def test_the_proof_itself(index, where, owner, honest):
    part = honest.proof[index]
    response = list(part.response)
    place = {"first": 0, "last salt": -1}.get(where)
    if place is None:
        changed = replace(part, image=(part.image + 1) % R)
    else:
        response[place] = (response[place] + 1) % R
        changed = replace(part, response=tuple(response))
    proof = (*honest.proof[:index], changed, *honest.proof[index + 1 :])
    assert owner.refusal(replace(honest, proof=proof))[0] == LINEAR


@pytest.mark.parametrize("name", ["qv2", "ko2", "up3", "gate2", "down3", "O"])
def test_weights_changed_in_one_row(name, owner, honest):
    """The claims are right for weights that differ from the committed ones in a single row."""
    changed = owner.matrices[name].copy()
    changed[5] += 1
    other = {**owner.matrices, name: changed}
    for proven in (None, other):  # answering with the committed weights, or with the others
        audit = owner.audit(claimed=other, proven=proven)
        assert owner.refusal(audit)[0] == LINEAR


def test_the_childs_activations(owner, child_run, honest):
    """With the base's matrices they do not add up; the child's are not what is committed."""
    step, message = owner.refusal(owner.audit(run=child_run))
    assert step == PUBLIC and "adds other values" in message
    child, _ = witness_of("demo-child", owner.srs, (2, 3), True)
    assert owner.refusal(owner.audit(run=child_run, claimed=child.matrices))[0] == LINEAR


# --- claims that fit the weights, but not one another -------------------------------------------


def redone(owner, claims, index, **streams):
    """Claims with other streams or inputs in one layer, all its products as the weights give
    them."""
    layer = replace(claims.layers[index], **streams)
    inputs = (layer.x_att, layer.x_ffn, layer.a, layer.mid)
    number = owner.geometry.layers[index]
    found = products(owner.geometry, owner.matrices, number, *inputs)
    return with_layer(claims, index, **streams, **found)


def test_redoing_nothing_changes_nothing(owner, honest):
    def same(claims):
        return redone(owner, redone(owner, claims, 0), 1)

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
        return redone(owner, bumped(0, field, by)(claims), 0)

    step, message = owner.refusal(owner.audit(change))
    assert step == PUBLIC and words in message and "at 1 of 6 positions" in message


def test_a_large_stream_hides_nothing(owner, honest):
    """Claiming a huge residual stream does not widen what its differences may be off by."""

    def change(claims):
        layer = claims.layers[1]
        stream = layer.h_mid + np.float32(1000) * layer.h_mid / np.abs(layer.h_mid).max()
        x_ffn = norm_integers(stream, owner.run.eps)
        return redone(owner, claims, 1, h_mid=stream, x_ffn=x_ffn)

    step, message = owner.refusal(owner.audit(change))
    assert step == PUBLIC and "attention block of layer 3 adds other" in message


def fabricated(owner, seed, gate=lambda gate, rng: gate):
    """Claims of a run that never was: random streams and attention, everything else to fit. gate:
    what is claimed to have gone through silu, given what the committed gates say."""
    scales = {name: float(value) for name, value in owner.held.descriptor.scales.items()}

    def change(claims):
        rng = np.random.default_rng(seed)
        shape = claims.layers[0].h_in.shape
        head = owner.head(count=len(shape) and shape[0])
        stream = claims.layers[0].h_in + rng.normal(size=shape).astype(np.float32)
        for i, number in enumerate(owner.geometry.layers):
            a = scaled(rng.normal(size=claims.layers[i].a.shape), head.scales["a"][i])
            claims = redone(owner, claims, i, h_in=stream, a=a)
            unit = 2.0 ** -head.scales["a"][i] / scales[f"ko{number}.o"]
            middle = (stream + unit * claims.layers[i].att).astype(np.float32)
            claims = redone(
                owner,
                claims,
                i,
                h_mid=middle,
                x_att=norm_integers(stream, owner.run.eps),
                x_ffn=norm_integers(middle, owner.run.eps),
            )
            up, said = (
                getattr(claims.layers[i], name) * 2.0**-X_BITS / scales[f"{name}{number}"]
                for name in ("up", "gate")
            )
            opened = gate(said, rng)
            mid = scaled(opened / (1 + np.exp(-opened)) * up, head.scales["mid"][i])
            claims = redone(owner, claims, i, mid=mid)
            unit = 2.0 ** -head.scales["mid"][i] / scales[f"down{number}"]
            stream = (middle + unit * claims.layers[i].ffn).astype(np.float32)
            claims = with_layer(claims, i, h_out=stream)
        return with_logits(owner, claims, stream, head)

    return change


def with_logits(owner, claims, stream, head):
    """The output's claims for the stream that leaves the last layer."""
    wide = stream.astype(np.float64)
    normed = wide / np.sqrt(np.mean(wide**2, axis=1, keepdims=True) + owner.run.eps)
    z = scaled(normed * claims.output.gain, head.scales["z"][0])
    s = z.astype(np.int64) @ owner.matrices[head.output].astype(np.int64).T
    return replace(claims, output=replace(claims.output, z=z, s=s))


@pytest.fixture(scope="module")
def later(owner):
    """A nonce that does not choose position 0, from where on attention is recomputed."""
    nonces = (f"{number:064x}" for number in range(100))
    return next(n for n in nonces if 0 not in owner.places(owner.head(nonce=n)).positions)


def test_a_fabricated_run_passes_a_sample_but_not_all_positions(owner, later):
    """What a sample does not establish, as docs/inference-audit.md says: attention goes unseen
    where earlier positions are not audited."""
    few = owner.audit(fabricated(owner, 1), nonce=later)
    assert owner.refusal(few, owner.demand(nonce=bytes.fromhex(later))) == ("", "")
    total = len(owner.run.ids)
    everything = owner.audit(fabricated(owner, 1), count=total)
    step, message = owner.refusal(everything, owner.demand(positions=None))
    assert step == PUBLIC and "a is not the attention in layer 2" in message


def test_served_logits_refuse_a_fabricated_run(owner, later, base_served):
    demand = owner.demand(nonce=bytes.fromhex(later), served=base_served)
    assert owner.refusal(owner.audit(nonce=later), demand) == ("", "")
    step, message = owner.refusal(owner.audit(fabricated(owner, 1), nonce=later), demand)
    assert step == PUBLIC and "not those that were served" in message


@pytest.mark.parametrize("share", [1.0, 0.1])
def test_mid_of_other_gates(owner, later, share):
    def other(gate, rng):
        return gate + share * rng.normal(size=gate.shape) * np.abs(gate).mean()

    audit = owner.audit(fabricated(owner, 1, other), nonce=later)
    step, message = owner.refusal(audit, owner.demand(nonce=bytes.fromhex(later)))
    assert step == PUBLIC and "mid is not silu(gate) times up in layer 2" in message


def test_attention_with_another_base_of_the_rotation(owner):
    """theta is the owner's word; at all positions, a false one does not fit."""
    total = len(owner.run.ids)
    demand = owner.demand(positions=None)
    assert owner.refusal(owner.audit(count=total), demand) == ("", "")
    false = owner.audit(count=total, rope_theta="10.0")
    step, message = owner.refusal(false, demand)
    assert step == PUBLIC and "a is not the attention" in message


def test_unequal_copies_of_a_kv_head(owner, honest):
    """One kv head's keys are claimed once: matrices whose copies differ do not give them."""
    ko = owner.matrices["ko2"].copy()
    ko[:, 16:32] += 1  # the second query head of the first kv head
    other = {**owner.matrices, "ko2": ko}
    assert owner.refusal(owner.audit(claimed=other)) == ("", "")  # the first copy is the same
    step, message = owner.refusal(owner.audit(claimed=other, proven=other))
    assert step == LINEAR and "of layer 2" in message


def test_another_stream_into_the_output(owner, honest):
    def change(claims):
        return with_logits(owner, claims, claims.layers[1].h_in, owner.head())

    step, message = owner.refusal(owner.audit(change))
    assert step == PUBLIC and "z is not the normalised stream" in message


def test_a_gain_where_it_is_committed(owner, honest):
    step, message = owner.refusal(owner.audit(bumped_output("gain", 0.5, (0, 1))))
    assert step == PUBLIC and "folded in" in message
