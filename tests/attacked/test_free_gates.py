"""Gates of one's own: what an audit would leave free if the gate matrix were not committed.

If mid could be any multiple of up within silu's range, a block with more than twice as many columns
as the stream has dimensions, as nearly all have, could add whatever is wanted, and an owner of one
model could answer with another one's words: layers, attention and rows of E the committed model's,
the stream that leaves the last layer the other's. Gates are committed, and mid is computed again.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from huref_zk.proofs.inference import public
from huref_zk.proofs.inference.claims import X_BITS, normalised, scaled
from huref_zk.proofs.inference.run import run_model
from huref_zk.srs.trust import find_test_srs
from tests.support.audited import (
    Owner,
    commit_to,
    served_by,
    with_layer,
    witness_of,
    write_tied_model,
)

IDS = tuple(int(i) for i in np.random.default_rng(1).permutation(160)[:12])
FFN, LAST = 64, 1


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Ours, and another that has our embeddings and final norm but no layer of ours."""
    folder = tmp_path_factory.mktemp("gates")
    ours, theirs = (write_tied_model(folder / f"{seed}", seed, FFN) for seed in (0, 1))
    mine, other = (load_file(m / "model.safetensors") for m in (ours, theirs))
    for name in ("model.embed_tokens.weight", "model.norm.weight"):
        other[name] = mine[name]
    save_file(other, theirs / "model.safetensors", {"format": "pt"})
    return ours, theirs


@pytest.fixture(scope="module")
def owner(models, tmp_path_factory) -> Owner:
    """Of our model: both layers audited, with E for the output."""
    cache = tmp_path_factory.mktemp("keys")
    srs = find_test_srs(8, cache, make=True)
    witness, prepared = witness_of(models[0], srs, (0, 1), False)
    tokens = tuple(prepared.cores.token_ids.tolist())
    return Owner(
        commit_to(witness, srs), tokens, srs, cache, run_model(models[0], (0, 1), None, IDS)
    )


@pytest.fixture(scope="module")
def served(models):
    return [served_by(model, IDS) for model in models]


def aimed(owner: Owner, wanted: np.ndarray, floor: float):
    """Claims whose last block adds what leads to the streams ``wanted``. floor: the least share of
    |up| that mid has, entry by entry, in the direction of up."""
    descriptor = owner.held.descriptor
    head = owner.head(count=len(IDS))
    down = owner.matrices[f"down{LAST}"].astype(np.float64) / float(
        descriptor.scales[f"down{LAST}"]
    )
    unit = 2.0**-X_BITS / float(descriptor.scales[f"up{LAST}"])

    def change(claims):
        layer = claims.layers[LAST]
        gap = (wanted - layer.h_mid).astype(np.float64)
        up = layer.up * unit
        least = floor * np.abs(up)
        part = np.maximum(np.zeros_like(up), least)  # in the direction of up
        step = 1 / np.linalg.norm(down, 2) ** 2
        for _ in range(4000):  # as near as the gates allow
            error = (part * np.sign(up)) @ down.T - gap
            part = np.maximum(part - step * (error @ down) * np.sign(up), least)
        mid = part * np.sign(up)
        mid += (gap - mid @ down.T) @ np.linalg.pinv(down).T
        whole = scaled(mid, head.scales["mid"][LAST])
        made = whole.astype(np.int64) @ owner.matrices[f"down{LAST}"].astype(np.int64).T
        claims = with_layer(claims, LAST, mid=whole, ffn=made, h_out=wanted)
        z = normalised(wanted, owner.run.eps) * claims.output.gain
        z = scaled(z, head.scales["z"][0])
        s = z.astype(np.int64) @ owner.matrices["E"].astype(np.int64).T
        return replace(claims, output=replace(claims.output, z=z, s=s))

    return owner.audit(change, count=len(IDS))


def test_another_models_words_from_our_layers(owner, models, served, monkeypatch):
    ours, theirs = served
    demand = owner.demand(positions=None, served=ours)
    honest = owner.audit(count=len(IDS))
    assert owner.refusal(honest, demand) == ("", "")
    told = owner.demand(positions=None, served=theirs)
    assert owner.refusal(honest, told)[0] == "public"  # they are other words indeed
    wanted = run_model(models[1], (0, 1), None, IDS).layers[-1].h_out
    audit = aimed(owner, wanted, 0.0)
    step, message = owner.refusal(audit, told)
    assert step == "public" and "mid is not silu(gate) times up in layer 1" in message
    monkeypatch.setattr(public, "ACTIVATION", np.inf)  # to a verifier who does not look
    assert owner.refusal(audit, told) == ("", "")
