"""Rewrites of the residual stream: the same function in other coordinates.

RMSNorm(x) = x / sqrt(mean(x^2) + eps) * gain. The mean square does not change when x is turned by
an orthogonal matrix R. So if everything that writes to the stream is turned by R, and everything
that reads it by R's inverse, the function stays, provided that the gains, which act coordinate by
coordinate, turn along. With vectors as rows, x -> x R: what reads, weights (out, d), becomes W R,
and so do the embedding and the output matrix; what writes, Wo and Wdown (d, in), R^T W, biases b R.
"""

from __future__ import annotations

import numpy as np

from huref_zk.attacks.checkpoint import (
    DEFAULT_EPS,
    EMBEDDING,
    FINAL_NORM,
    HEAD,
    Checkpoint,
    name_of,
)
from huref_zk.attacks.draft import NORM_OF, WRITERS, Change, Draft
from huref_zk.errors import InputError


def permute_residual(checkpoint: Checkpoint, rng: np.random.Generator) -> Checkpoint:
    """A random permutation of the d coordinates; the gains move along. Exact, tied or not."""
    draft = Draft(checkpoint)
    order = rng.permutation(draft.sizes.hidden)
    _turn(draft, lambda w: w[..., order])
    for name in (FINAL_NORM, *_layer_norms(draft)):
        draft.edit(name, lambda gain: gain[order])
    return draft.done()


def rotate_residual(checkpoint: Checkpoint, rng: np.random.Generator) -> Checkpoint:
    """A random orthogonal matrix (Haar measure). Gains other than 1 do not commute with it, so they
    are first moved into the weights that follow. Exact; unties the embeddings."""
    draft = Draft(checkpoint)
    draft.replace_gains(np.ones_like)
    R = orthogonal(rng, draft.sizes.hidden)
    _turn(draft, lambda w: w @ R)
    return draft.done()


def flip_signs(checkpoint: Checkpoint, rng: np.random.Generator) -> Checkpoint:
    """Random signs of the d coordinates: R = diag(±1), which gains commute with. Exact."""
    draft = Draft(checkpoint)
    signs = rng.choice([-1.0, 1.0], draft.sizes.hidden)
    _turn(draft, lambda w: w * signs)
    return draft.done()


def scale_residual(
    checkpoint: Checkpoint, rng: np.random.Generator, factor: float = 10.0
) -> Checkpoint:
    """Everything that writes to the residual stream times ``factor``: the embeddings, Wo and Wdown
    with their biases. The norms divide it out again, exactly when the config's rms_norm_eps is
    multiplied by factor^2, which is done. Tied embeddings stay tied: the output matrix then has the
    factor too, and the final norm's gain is divided by it.
    """
    draft = Draft(checkpoint)
    draft.edit(EMBEDDING, lambda w: w * factor)
    for i in range(draft.sizes.layers):
        for part in WRITERS:
            draft.rows(i, part, lambda w: w * factor)
    if draft.tied:
        draft.edit(FINAL_NORM, lambda gain: gain / factor)
    eps = draft.config.get("rms_norm_eps")
    eps = DEFAULT_EPS if eps is None else eps
    if not isinstance(eps, (int, float)):
        raise InputError(f"{checkpoint.source}: config says rms_norm_eps = {str(eps)[:40]}")
    draft.config["rms_norm_eps"] = eps * factor**2
    return draft.done()


def orthogonal(rng: np.random.Generator, n: int) -> np.ndarray:
    """A random orthogonal matrix (n, n), uniform: QR of a Gaussian one with R's diagonal > 0
    (Mezzadri 2007)."""
    q, r = np.linalg.qr(rng.normal(size=(n, n)))
    return q * np.sign(np.diag(r))


def _turn(draft: Draft, turn: Change) -> None:
    """Apply x -> x R, given as a function of the last axis, to all but the gains."""
    for name in (EMBEDDING, HEAD):
        if name in draft:
            draft.edit(name, turn)
    for i in range(draft.sizes.layers):
        for part in NORM_OF:
            draft.columns(i, part, turn)
        for part in WRITERS:
            draft.rows(i, part, lambda w: turn(w.T).T)


def _layer_norms(draft: Draft) -> list[str]:
    norms = ("attention_norm", "ffn_norm")
    return [name_of(i, norm) for i in range(draft.sizes.layers) for norm in norms]
