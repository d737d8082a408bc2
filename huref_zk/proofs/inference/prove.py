"""The owner's side of an audit: from a run of the model to the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from huref_zk.argument.linear import prove_linear
from huref_zk.commitment.commit import Owner, check_owner
from huref_zk.commitment.descriptor import Descriptor, token_digest
from huref_zk.commitment.file import serialise
from huref_zk.errors import InputError
from huref_zk.proofs.inference.claims import (
    X_BITS,
    Claims,
    Geometry,
    LayerClaims,
    OutputClaims,
    geometry_of,
    hidden_exponent,
    norm_integers,
    normalised,
    scaled,
)
from huref_zk.proofs.inference.file import Audit, Head, Places, places_of, serialise_audit
from huref_zk.proofs.inference.relations import relations, start_transcript
from huref_zk.proofs.inference.run import Activations, Run
from huref_zk.proofs.inference.verify import Demand, verify_bytes
from huref_zk.proofs.kernel import Report, Setup
from huref_zk.srs.file import Srs

Matrices = Mapping[str, np.ndarray]
READ = {"q": "qv{}.q", "k": "ko{}.k", "v": "qv{}.v", "up": "up{}", "gate": "gate{}"}
"""The fields that read the stream, and their blocks."""


def make_audit(
    owner: Owner,
    run: Run,
    tokens: Sequence[int],
    nonce: bytes,
    count: int | None,
    srs: Srs,
    cache: Path,
    stage: Callable[[str], None] | None = None,
) -> tuple[Audit, Report, dict[str, float]]:
    """(audit, the verifier's report, relative errors by field) for a run on a prompt.

    tokens: the K ids that E has rows of; count: how many positions the nonce chooses, None for all;
    cache: the key folder. InputError when the owner's files do not belong together, StepFailed when
    the run is not one of the committed weights: a false audit is never made.
    """
    say = stage or (lambda _: None)
    descriptor = owner.descriptor
    geometry = geometry_of(descriptor)
    if token_digest(tokens) != descriptor.tokens.digest:
        raise InputError("these are not the tokens that E has rows of")
    check_owner(owner, srs)
    say("claims")
    output = output_of(descriptor, geometry, run)
    head = head_of(run, geometry, nonce, count or len(run.ids), output)
    places = places_of(owner.commitment.root, geometry, head, run.ids, tokens)
    claims = make_claims(descriptor, owner.witness.matrices, run, head, places, tokens)
    say("linear proof")
    transcript = start_transcript(head, owner.commitment, run.ids, tokens, claims)
    todo = relations(descriptor, claims, output, places, transcript)
    proof = prove_linear(owner, todo, transcript, srs)
    audit = Audit(head, serialise(owner.commitment), run.ids, tuple(tokens), claims, proof)
    say("checking")
    report = verify_bytes(
        serialise_audit(audit),
        owner.commitment.root_hex,
        Setup(cache, (srs.sha256,), allow_test=True),
        Demand(nonce, run.ids, count),
    )
    return audit, report, agreement(descriptor, geometry, run, claims, places)


def output_of(descriptor: Descriptor, geometry: Geometry, run: Run) -> str:
    """The matrix whose rows give logits: O where it is committed, E where embeddings are tied, none
    ("") where neither is so or the last layer is not audited."""
    if geometry.depth - 1 not in geometry.layers:
        return ""
    return "O" if descriptor.output else "E" if run.tied else ""


def head_of(run: Run, geometry: Geometry, nonce: bytes, positions: int, output: str) -> Head:
    """The header for an audit of this run; its exponents fit the largest activations."""
    scales = {
        "a": tuple(hidden_exponent(layer.a) for layer in run.layers),
        "mid": tuple(hidden_exponent(layer.mid) for layer in run.layers),
        "z": (),
    }
    if output:
        scales["z"] = (hidden_exponent(_last(run, output)),)
    theta = "" if run.theta is None else repr(run.theta)
    return Head(nonce.hex(), positions, repr(run.eps), theta, output, scales)


def make_claims(
    descriptor: Descriptor,
    matrices: Matrices,
    run: Run,
    head: Head,
    places: Places,
    tokens: Sequence[int],
) -> Claims:
    """What a run gives at the audited positions. matrices: the committed integers, by name."""
    geometry = geometry_of(descriptor)
    chosen = list(places.positions)
    layers = tuple(
        _layer_claims(geometry, matrices, number, full, chosen, run.eps, head, i)
        for i, (number, full) in enumerate(zip(geometry.layers, run.layers, strict=True))
    )
    rows = matrices["E"][[row for _, row in places.named]]
    output = None
    if head.output:
        z = scaled(_last(run, head.output)[chosen], head.scales["z"][0])
        given = (run.gain, run.norms[list(tokens)])
        if head.output == "O":
            given = (np.ones(geometry.hidden), np.ones(geometry.tokens))
        elif descriptor.recipe == "official":
            given = (run.gain, np.ones(geometry.tokens))
        output = OutputClaims(
            z,
            z.astype(np.int64) @ matrices[head.output].astype(np.int64).T,
            *(np.asarray(values, dtype=np.float32)[None] for values in given),
        )
    return Claims(layers, output, rows)


def _last(run: Run, output: str) -> np.ndarray:
    """z before rounding, float64 (tokens, d)."""
    stream = normalised(run.layers[-1].h_out, run.eps)
    return stream * run.gain if output == "E" else stream


def _layer_claims(
    geometry: Geometry,
    matrices: Matrices,
    number: int,
    full: Activations,
    chosen: list[int],
    eps: float,
    head: Head,
    index: int,
) -> LayerClaims:
    h_in, h_mid, h_out = (h[chosen] for h in (full.h_in, full.h_mid, full.h_out))
    x_att, x_ffn = norm_integers(h_in, eps), norm_integers(h_mid, eps)
    a = scaled(full.a[chosen], head.scales["a"][index])
    mid = scaled(full.mid[chosen], head.scales["mid"][index])
    return LayerClaims(
        *(h_in, h_mid, h_out, x_att, x_ffn),
        **products(geometry, matrices, number, x_att, x_ffn, a, mid),
        a=a,
        mid=mid,
    )


def products(
    geometry: Geometry,
    matrices: Matrices,
    number: int,
    x_att: np.ndarray,
    x_ffn: np.ndarray,
    a: np.ndarray,
    mid: np.ndarray,
) -> dict[str, np.ndarray]:
    """q, k, v, up, gate, att, ffn of a layer for integers (N, width) that go in, int64."""
    qv, ko, up, gate, down = (
        matrices[f"{name}{number}"].astype(np.int64) for name in ("qv", "ko", "up", "gate", "down")
    )
    half = geometry.attention
    # One copy of each kv head: the columns of the first query head that shares it.
    heads = np.arange(half).reshape(geometry.kv_heads, -1, geometry.head_dim)[:, 0].reshape(-1)
    x, y = x_att.astype(np.int64), x_ffn.astype(np.int64)
    return {
        "q": x @ qv[:, :half],
        "k": x @ ko[:, heads],
        "v": x @ qv[:, half + heads],
        "up": y @ up,
        "gate": y @ gate,
        "att": a.astype(np.int64) @ ko[:, half:].T,
        "ffn": mid.astype(np.int64) @ down.T,
    }


def agreement(
    descriptor: Descriptor, geometry: Geometry, run: Run, claims: Claims, places: Places
) -> dict[str, float]:
    """Relative error of the claimed fields of READ, by norm, against the model's own: the worst
    layer.

    Only the owner can know this; a verifier has the claims alone.
    """
    worst: dict[str, float] = {}
    for number, full, layer in zip(geometry.layers, run.layers, claims.layers, strict=True):
        for name, block in READ.items():
            true = getattr(full, name)[list(places.positions)].astype(np.float64)
            unit = 2.0**-X_BITS / float(descriptor.scales[block.format(number)])
            error = float(np.linalg.norm(getattr(layer, name) * unit - true))
            relative = error / max(float(np.linalg.norm(true)), 1e-300)
            worst[name] = max(worst.get(name, 0.0), relative)
    return worst


def committed_tokens(
    descriptor: Descriptor,
    ref: str | Path,
    *,
    tokens: Path | None = None,
    map_file: Path | None = None,
    revision: str | None = None,
    allow_pickle: bool = False,
) -> tuple[int, ...]:
    """The ids of the K tokens that E has rows of, chosen again from the model, or read from the
    file ``tokens`` that was given to commit. InputError when they are not the committed ones."""
    from huref_zk.invariants.tokens import choose_tokens
    from huref_zk.models.families import family_for
    from huref_zk.models.layers import dimensions
    from huref_zk.models.load import open_model
    from huref_zk.proofs.prepare import read_token_file

    count, choice = descriptor.tokens.count, descriptor.tokens.choice
    if choice == "given" and tokens is None:
        raise InputError("the tokens of this commitment were given by a file: --tokens FILE")
    model = open_model(str(ref), revision=revision, allow_pickle=allow_pickle)
    found, _ = choose_tokens(
        model,
        dimensions(model, family_for(model, map_file)).vocab,
        count,
        choice="common" if choice == "given" else choice,
        token_ids=read_token_file(tokens) if choice == "given" and tokens else None,
    )
    if token_digest(found) != descriptor.tokens.digest:
        raise InputError(f"{ref} was not committed to: its tokens are not those that E has rows of")
    return tuple(int(i) for i in found)
