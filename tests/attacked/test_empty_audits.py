"""Audits that say nothing: streams that vanish in a norm's epsilon, attention whose unit is so
small that it is nothing at all. All equations hold between zeros.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from huref_zk.errors import InputError
from huref_zk.proofs.inference import claims as claims_module
from huref_zk.proofs.inference import public
from huref_zk.proofs.inference.claims import X_BITS, geometry_of, norm_integers, normalised, scaled
from huref_zk.proofs.inference.prove import products
from huref_zk.proofs.inference.run import run_model
from huref_zk.srs.trust import find_test_srs
from tests.support.audited import Owner, commit_to, with_layer, witness_of, write_tied_model

IDS = tuple(int(i) for i in np.random.default_rng(1).permutation(160)[:8])


@pytest.fixture(scope="module")
def owning(tmp_path_factory):
    """Makes owners of one run, of the layers given; scales: told in place of the true ones."""
    folder = tmp_path_factory.mktemp("empty")
    srs = find_test_srs(8, folder, make=True)
    model = write_tied_model(folder / "model")

    def make(layers=(0, 1), **scales: str) -> Owner:
        witness, prepared = witness_of(model, srs, layers, False)
        told = {**witness.descriptor.scales, **scales}
        made = replace(witness, descriptor=replace(witness.descriptor, scales=told))
        tokens = tuple(prepared.cores.token_ids.tolist())
        return Owner(commit_to(made, srs), tokens, srs, folder, run_model(model, layers, None, IDS))

    return make


@pytest.fixture(scope="module")
def owner(owning) -> Owner:
    """Of the last layer alone, so that no stream must be that of a token."""
    made = owning((1,))
    audit = made.audit(count=len(IDS))
    assert made.refusal(audit, made.demand(positions=None)) == ("", "")
    return made


def without_attention(owner, size: float = 1.0, eps: float | None = None):
    """Claims of a run on streams ``size`` times the embeddings, whose attention adds nothing at
    all, and everything else as it should be."""
    eps = owner.run.eps if eps is None else eps
    scales = {name: float(value) for name, value in owner.held.descriptor.scales.items()}
    exponents = owner.head(count=len(IDS)).scales["mid"]

    def change(claims):
        stream = (claims.layers[0].h_in * np.float32(size)).astype(np.float32)
        for i, number in enumerate(owner.geometry.layers):
            x = norm_integers(stream, eps)
            a = np.zeros((len(x), owner.geometry.attention), np.int32)
            mid = np.zeros((len(x), owner.geometry.ffn), np.int32)
            read = products(owner.geometry, owner.matrices, number, x, x, a, mid)
            gate, up = (
                read[name] * 2.0**-X_BITS / scales[f"{name}{number}"] for name in ("gate", "up")
            )
            mid = scaled(gate / (1 + np.exp(-gate)) * up, exponents[i])
            made = products(owner.geometry, owner.matrices, number, x, x, a, mid)
            after = stream + 2.0 ** -exponents[i] / scales[f"down{number}"] * made["ffn"]
            after = after.astype(np.float32)
            streams = {"h_in": stream, "h_mid": stream, "h_out": after}
            claims = with_layer(claims, i, **streams, **made, a=a, mid=mid, x_att=x, x_ffn=x)
            stream = after
        z = scaled(normalised(stream, eps) * claims.output.gain, 12)
        s = z.astype(np.int64) @ owner.matrices["E"].astype(np.int64).T
        return replace(claims, output=replace(claims.output, z=z, s=s))

    return change


@pytest.mark.parametrize(("size", "eps"), [(0.0, 1e-6), (1e-30, 1e-6), (1e-3, 1.0), (3e-2, 1.0)])
def test_streams_that_vanish(owner, size, eps, monkeypatch):
    """Zeros, or so little that the epsilon, which is the owner's word, swallows it."""
    head = owner.head(count=len(IDS))
    scales = {**head.scales, "z": (12,)}
    audit = owner.audit(
        without_attention(owner, size, eps), count=len(IDS), rms_norm_eps=repr(eps), scales=scales
    )
    step, message = owner.refusal(audit, owner.demand(positions=None))
    assert step == "public" and "is lost in the norm's epsilon" in message
    monkeypatch.setattr(public, "EPSILON", 1.0)  # to a verifier who does not look
    refused = owner.refusal(audit, owner.demand(positions=None))
    assert refused == ("", "") if size < 1e-20 else refused[0] == "public"


def test_no_attention_where_there_is_some(owner):
    audit = owner.audit(
        without_attention(owner),
        count=len(IDS),
        scales={**owner.head(count=len(IDS)).scales, "z": (12,)},
    )
    step, message = owner.refusal(audit, owner.demand(positions=None))
    assert step == "public" and "a is not the attention in layer 1" in message


@pytest.mark.parametrize(
    ("block", "scale"),
    [
        *(("qv1.v", repr(s)) for s in (1e300, 2.0**65, 2.0**-65, 1e-300)),
        *(("ko1.o", repr(s)) for s in (1e300, 1e-300)),
        ("up1", repr(1e300)),
        ("E", repr(1e-300)),
    ],
)
def test_units_that_no_weights_have(owner, block, scale):
    """Under a tiny unit of the values attention is nothing, and nothing the right answer."""
    descriptor = owner.held.descriptor
    told = replace(descriptor, scales={**descriptor.scales, block: scale})
    with pytest.raises(InputError, match=f"scale of {re.escape(block)} is no model's"):
        geometry_of(told)
    for within in (2.0**64, 2.0**-64):  # the control
        geometry_of(replace(descriptor, scales={**descriptor.scales, block: repr(within)}))


def test_attention_under_such_a_unit(owning, monkeypatch):
    """What the bound is for: without it, and to a verifier that divides by a alone, this passes."""
    monkeypatch.setattr(claims_module, "SCALES", (1e-300, 1e300))
    made = owning((1,), **{"qv1.v": repr(1e300)})
    scales = {**made.head(count=len(IDS)).scales, "z": (12,)}
    audit = made.audit(without_attention(made), count=len(IDS), scales=scales)
    assert made.refusal(audit, made.demand(positions=None)) == ("", "")
    monkeypatch.undo()
    step, message = made.refusal(audit, made.demand(positions=None))
    assert step == "parse" and "scale of qv1.v is no model's" in message


def test_a_tiny_unit_within_the_bounds(owning):
    """2^64, the finest there may be: attention is still told from nothing."""
    made = owning((1,), **{"qv1.v": repr(2.0**64)})
    audit = made.audit(
        without_attention(made),
        count=len(IDS),
        scales={**made.head(count=len(IDS)).scales, "a": (-64,), "z": (12,)},
    )
    step, message = made.refusal(audit, made.demand(positions=None))
    assert step == "public" and "a is not the attention in layer 1" in message
