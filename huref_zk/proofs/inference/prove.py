"""The owner's side of an audit: from a run of the model to the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from huref_zk.commitment.file import Commitment, serialise
from huref_zk.errors import InputError
from huref_zk.invariants.canonical import Canonical
from huref_zk.invariants.prepare import Prepared
from huref_zk.invariants.quantise import Quantised
from huref_zk.proofs.inference.claims import (
    X_BITS,
    Geometry,
    LayerClaims,
    geometry_of,
    hidden_exponent,
    norm_integers,
    scaled,
)
from huref_zk.proofs.inference.file import FORMAT, Audit, choose_positions
from huref_zk.proofs.inference.linear import prove_linear, start_transcript
from huref_zk.proofs.inference.public import Measured, check_public
from huref_zk.proofs.inference.run import Activations, Run
from huref_zk.srs.file import Srs


@dataclass(frozen=True)
class Balance:
    """How one layer's canonical form rescales the model (balance.py), float64: column j of U is a
    row of Wq times r_a[j], of Wup times r_f[j], and a kv head's values are multiplied by its matrix
    in X, (kv_heads, head_dim, head_dim)."""

    r_a: np.ndarray
    X: np.ndarray
    r_f: np.ndarray

    def values(self, real: np.ndarray) -> np.ndarray:
        """Values of all query heads, or sums of such, (N, heads * head_dim), times X."""
        kv_heads, size, _ = self.X.shape
        grouped = real.astype(np.float64).reshape(len(real), kv_heads, -1, size)
        return (grouped @ self.X).reshape(len(real), -1)


def balances(run: Run, canonical: Canonical, geometry: Geometry) -> list[Balance]:
    """The balance of each layer, from what the committed columns are and the model's own weights.
    InputError when these are not of one shape."""
    return [
        _balance(full, U.astype(np.float64), geometry)
        for full, U in zip(run.layers, canonical.U, strict=True)
    ]


def _balance(full: Activations, U: np.ndarray, geometry: Geometry) -> Balance:
    a, b, f = (U[:, geometry.block(0, term)] for term in "abf")  # within the layer's own matrices
    d, size = geometry.hidden, geometry.head_dim
    sizes = (a.shape[1], f.shape[1], (geometry.kv_heads * size, d))
    if (len(full.norm_q), len(full.norm_up), full.value.shape) != sizes:
        raise InputError("the model that ran is not the one that was committed to")
    ratios = [np.linalg.norm(a, axis=0), np.linalg.norm(f, axis=0)]
    for now, own in zip(ratios, (full.norm_q, full.norm_up), strict=True):
        np.divide(now, own, out=now, where=own > 0)
    ratios[0][ratios[0] == 0] = 1.0  # a zero row stays one, whatever it is divided by
    own_values = full.value.reshape(geometry.kv_heads, size, d)
    now_values = geometry.by_kv_head(b)[:, :, 0]  # the first copy of each, (d, kv_heads, size)
    X = [
        np.linalg.lstsq(own.T, now_values[:, g], rcond=None)[0] for g, own in enumerate(own_values)
    ]
    return Balance(ratios[0], np.array(X), ratios[1])


def make_claims(
    run: Run,
    quantised: Quantised,
    balance: Sequence[Balance],
    geometry: Geometry,
    positions: Sequence[int],
) -> tuple[tuple[LayerClaims, ...], dict[str, list[int]]]:
    """(claims of each layer, exponents of a and mid) of a run at ``positions``."""
    chosen = list(positions)
    claims = []
    scales: dict[str, list[int]] = {"a": [], "mid": []}
    for i, full in enumerate(run.layers):
        h_in, h_mid, h_out = (h[chosen] for h in (full.h_in, full.h_mid, full.h_out))
        real_a = balance[i].values(full.a[chosen])
        real_mid = full.mid[chosen] * balance[i].r_f
        for name, values in (("a", real_a), ("mid", real_mid)):
            scales[name].append(hidden_exponent(values))
        x_att, x_ffn = norm_integers(h_in, run.eps), norm_integers(h_mid, run.eps)
        a, mid = scaled(real_a, scales["a"][i]), scaled(real_mid, scales["mid"][i])
        terms = [geometry.block(0, term) for term in "abf"]  # within the layer's own matrices
        U, V = (side[i].astype(np.int64) for side in (quantised.U, quantised.V))
        claims.append(
            LayerClaims(
                *(h_in, h_mid, h_out, x_att, x_ffn),
                q=x_att.astype(np.int64) @ U[:, terms[0]],
                k=x_att.astype(np.int64) @ V[:, terms[0]],
                v=x_att.astype(np.int64) @ U[:, terms[1]],
                up=x_ffn.astype(np.int64) @ U[:, terms[2]],
                a=a,
                att=a.astype(np.int64) @ V[:, terms[1]].T,
                mid=mid,
                ffn=mid.astype(np.int64) @ V[:, terms[2]].T,
                r_a=balance[i].r_a[None].astype(np.float32),
            )
        )
    return tuple(claims), scales


def agreement(
    run: Run,
    claims: Sequence[LayerClaims],
    balance: Sequence[Balance],
    geometry: Geometry,
    positions: Sequence[int],
    scales: dict[str, int],
) -> dict[str, float]:
    """Relative error of the claimed q, k, v, up, by norm, against the model's own, balanced as they
    are: the worst layer.

    scales: the descriptor's. Only the owner can know this; a verifier has the claims alone.
    """
    worst: dict[str, float] = {}
    for i, (full, layer) in enumerate(zip(run.layers, claims, strict=True)):
        q, k, v, up = (
            getattr(full, name)[list(positions)].astype(np.float64)
            for name in ("q", "k", "v", "up")
        )
        k, v = (geometry.repeated(x) for x in (k, v))
        for name, block, true in (
            ("q", "Ua", q * balance[i].r_a),
            ("k", "Va", k / balance[i].r_a),
            ("v", "Ub", balance[i].values(v)),
            ("up", "Uf", up * balance[i].r_f),
        ):
            exponent = X_BITS + scales[f"{block[0]}{i}{block[1]}"]
            error = np.linalg.norm(getattr(layer, name) * 2.0**-exponent - true)
            relative = float(error / max(float(np.linalg.norm(true)), 1e-300))
            worst[name] = max(worst.get(name, 0.0), relative)
    return worst


def make_audit(
    run: Run,
    prompt: str | None,
    nonce: bytes,
    count: int | None,
    prepared: Prepared,
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
    quantised, balance = prepared.quantised, balances(run, prepared.canonical, geometry)
    claims, scales = make_claims(run, quantised, balance, geometry, positions)
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
    found = agreement(run, claims, balance, geometry, positions, weight_scales)
    return Audit(header, committed, run.ids, claims, proof), measured, found
