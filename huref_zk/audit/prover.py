"""The owner's side of an audit: from a run of the model to the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from huref_zk.audit.claims import (
    X_BITS,
    Geometry,
    LayerClaims,
    geometry_of,
    hidden_exponent,
    norm_integers,
    scaled,
)
from huref_zk.audit.file import FORMAT, Audit, choose_positions
from huref_zk.audit.linear import prove_linear, start_transcript
from huref_zk.audit.public import Measured, check_public
from huref_zk.audit.run import Run
from huref_zk.commit.commitment import Commitment, serialise
from huref_zk.commit.srs import Srs
from huref_zk.errors import InputError
from huref_zk.quantise import Quantised


def make_claims(
    run: Run, quantised: Quantised, geometry: Geometry, positions: Sequence[int]
) -> tuple[tuple[LayerClaims, ...], dict[str, list[int]]]:
    """(claims of each layer, exponents of a and mid) of a run at ``positions``."""
    chosen = list(positions)
    claims = []
    scales: dict[str, list[int]] = {"a": [], "mid": []}
    for i, full in enumerate(run.layers):
        h_in, h_mid, h_out = (h[chosen] for h in (full.h_in, full.h_mid, full.h_out))
        real_a, real_mid = full.a[chosen], full.mid[chosen]
        for name, values in (("a", real_a), ("mid", real_mid)):
            scales[name].append(hidden_exponent(values))
        x_att, x_ffn = norm_integers(h_in, run.eps), norm_integers(h_mid, run.eps)
        a, mid = scaled(real_a, scales["a"][i]), scaled(real_mid, scales["mid"][i])
        terms = [geometry.block(0, term) for term in "abf"]  # within the layer's own matrices
        U, V = (side[i].astype(np.int64) for side in (quantised.U, quantised.V))
        kv = _one_copy(geometry)
        claims.append(
            LayerClaims(
                *(h_in, h_mid, h_out, x_att, x_ffn),
                q=x_att.astype(np.int64) @ U[:, terms[0]],
                k=x_att.astype(np.int64) @ V[:, terms[0]][:, kv],
                v=x_att.astype(np.int64) @ U[:, terms[1]][:, kv],
                up=x_ffn.astype(np.int64) @ U[:, terms[2]],
                a=a,
                att=a.astype(np.int64) @ V[:, terms[1]].T,
                mid=mid,
                ffn=mid.astype(np.int64) @ V[:, terms[2]].T,
            )
        )
    return tuple(claims), scales


def agreement(
    run: Run, claims: Sequence[LayerClaims], positions: Sequence[int], scales: dict[str, int]
) -> dict[str, float]:
    """Relative error of the claimed q, k, v, up, by norm, against the model's own: the worst layer.

    scales: the descriptor's. Only the owner can know this; a verifier has the claims alone.
    """
    worst: dict[str, float] = {}
    for i, (full, layer) in enumerate(zip(run.layers, claims, strict=True)):
        for name, block in (("q", "Ua"), ("k", "Va"), ("v", "Ub"), ("up", "Uf")):
            exponent = X_BITS + scales[f"{block[0]}{i}{block[1]}"]
            true = getattr(full, name)[list(positions)].astype(np.float64)
            error = np.linalg.norm(getattr(layer, name) * 2.0**-exponent - true)
            relative = float(error / max(float(np.linalg.norm(true)), 1e-300))
            worst[name] = max(worst.get(name, 0.0), relative)
    return worst


def make_audit(
    run: Run,
    prompt: str | None,
    nonce: bytes,
    count: int | None,
    quantised: Quantised,
    secret: bytes,
    commitment: Commitment,
    srs: Srs,
    stage: Callable[[str], None] | None = None,
) -> tuple[Audit, Measured, dict[str, float]]:
    """(audit, deviations as the verifier will find them, agreement) for a run on a prompt.

    count: how many positions the nonce chooses; None: all. InputError when model, secret and
    commitment do not belong together; StepFailed when the run is not one of the committed weights.
    """
    say = stage or (lambda _: None)
    geometry = geometry_of(commitment.descriptor)
    if srs.sha256 != commitment.descriptor["srs"]["sha256"]:
        raise InputError("the commitment was made under another SRS than the one given")
    total = len(run.ids)
    positions = choose_positions(commitment.root, nonce, run.ids, count or total)
    say("claims")
    claims, scales = make_claims(run, quantised, geometry, positions)
    weight_scales = commitment.descriptor["scales"]
    committed = serialise(commitment)
    header = {
        "format": FORMAT,
        "nonce": nonce.hex(),
        "prompt": prompt or "",
        "tokens": total,
        "positions": len(positions),
        "rms_norm_eps": repr(run.eps),
        "rope_theta": "" if run.theta is None else repr(run.theta),
        "scales": scales,
        "commitment_bytes": len(committed),
    }
    say("linear proof")
    transcript = start_transcript(header, commitment, run.ids, claims)
    proof = prove_linear(quantised, secret, commitment, geometry, claims, transcript, srs)
    say("checking")
    measured = check_public(geometry, claims, positions, weight_scales, scales, run.eps, run.theta)
    found = agreement(run, claims, positions, weight_scales)
    return Audit(header, committed, run.ids, claims, proof), measured, found


def _one_copy(geometry: Geometry) -> np.ndarray:
    """Columns of the first copy of each kv head among the repeated ones."""
    group = geometry.heads // geometry.kv_heads
    head = np.arange(geometry.heads * geometry.head_dim) // geometry.head_dim
    return np.flatnonzero(head % group == 0)
