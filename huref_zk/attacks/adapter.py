"""Embeddings in coordinates of their own, and a first block that turns them into the old ones.

E' = E M with any invertible M, and two further dimensions: a constant, and what brings every row to
one length N, so that the norm divides every token by the same number. A block put in front whose
attention writes nothing and whose gates read the constant alone, act(z) = const, then computes a
linear map: it adds E' (M^-1 - 1) and takes both helpers away. What follows is the old model, on the
old stream. Exact; the embeddings' rows no longer tell what any but the first block is asked.

The output likewise: a last block adds A R x / |x|, R orthogonal and A so large that nothing else is
left of the stream to speak of; the last norm takes A away, and the output matrix has R's inverse.
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
from huref_zk.attacks.draft import Draft
from huref_zk.attacks.function import streams
from huref_zk.attacks.residual import orthogonal
from huref_zk.attacks.wide import HELPERS, add_dimensions, round_up
from huref_zk.errors import InputError
from huref_zk.invariants.activations import BENT

OPEN = 4.0
"""What the gates of the new block read off the constant."""
FAINT, MARGIN = 1e-3, 4.0
"""The constant beside the stream, and how much louder than any stream seen one may be."""


def adapt_embeddings(
    checkpoint: Checkpoint, rng: np.random.Generator, log_sd: float = 0.3
) -> Checkpoint:
    """M = R1 diag(exp(log_sd N(0, 1))) R2 with random orthogonal R1, R2. Unties the embeddings.

    Raises InputError for an activation that invariants.activations does not know.
    """
    height = _height(checkpoint)
    draft = Draft(checkpoint)
    d = draft.sizes.hidden
    draft.untie()
    add_dimensions(draft, round_up(draft, HELPERS))
    draft.arrange([0, *range(draft.sizes.layers)])
    wide = int(draft.config["hidden_size"])

    stretch = np.exp(log_sd * rng.normal(size=d))
    r1, r2 = orthogonal(rng, d), orthogonal(rng, d)
    mix, back = r1 * stretch @ r2, r2.T / stretch @ r1.T
    rows = draft[EMBEDDING]
    rows[:, :d] = rows[:, :d] @ mix
    squares = np.square(rows).sum(axis=1)
    constant = float(np.sqrt(squares.mean()))
    length = float(squares.max()) + 2 * constant**2  # N^2
    rows[:, d] = np.sqrt(length - squares - constant**2)
    rows[:, d + 1] = constant
    draft[EMBEDDING] = rows

    eps = float(draft.config.get("rms_norm_eps", DEFAULT_EPS))
    unit = float(np.sqrt(length / wide + eps))  # what the norm divides every row by
    inside = np.eye(wide)[: d + HELPERS]
    down = np.zeros((wide, d + HELPERS))
    down[:d, :d] = (back - np.eye(d)).T
    down[d : d + HELPERS, d:] = -np.eye(HELPERS)
    gate = np.zeros_like(inside)
    gate[:, d + 1] = OPEN * unit / constant
    _put_block(draft, 0, gate, inside, down * unit / height)
    return draft.done()


def adapt_output(checkpoint: Checkpoint, rng: np.random.Generator, loud: float = 1e6) -> Checkpoint:
    """The output in coordinates of its own; A is ``loud`` times the stream. Exact up to 1 / loud,
    and up to what the norms' eps is beside the mean square of the last stream.

    Errors as of ``adapt_embeddings``; EnvironmentLacks without torch and transformers.
    """
    height = _height(checkpoint)
    draft = Draft(checkpoint)
    draft.untie()
    d = draft.sizes.hidden
    add_dimensions(draft, round_up(draft, 1))
    wide = int(draft.config["hidden_size"])
    ids = np.random.default_rng(0).integers(draft.sizes.vocab, size=64)
    sizes = np.sqrt(np.square(streams(checkpoint, ids)).mean(axis=2))
    constant = FAINT * float(sizes[0].mean())
    draft.edit(
        EMBEDDING, lambda w: np.column_stack([w[:, :d], np.full(len(w), constant), w[:, d + 1 :]])
    )
    draft.arrange([*range(draft.sizes.layers), draft.sizes.layers - 1])
    turn = orthogonal(rng, wide)
    gate = np.zeros((wide, wide))
    # Open by OPEN at the loudest stream seen; wider at all others.
    gate[:, d] = OPEN * MARGIN * float(sizes.max()) / constant
    down = turn.T * loud * MARGIN * float(sizes.max()) / height
    _put_block(draft, draft.sizes.layers, gate, np.eye(wide), down)
    draft.edit(HEAD, lambda w: (w * draft[FINAL_NORM]) @ turn)
    draft.edit(FINAL_NORM, np.ones_like)
    return draft.done()


def hide_ends(checkpoint: Checkpoint, rng: np.random.Generator, blocks: int = 2) -> Checkpoint:
    """``blocks`` adapters in front, one after the other, and one behind: neither the rows of the
    embedding, nor what the first block makes of them, nor the output's rows are in the coordinates
    in which the old blocks are asked."""
    for _ in range(blocks):
        checkpoint = adapt_embeddings(checkpoint, rng)
    return adapt_output(checkpoint, rng)


def _height(checkpoint: Checkpoint) -> float:
    """act(OPEN). InputError for an unknown activation."""
    act = checkpoint.config.get("hidden_act") or "silu"
    if act not in BENT:
        raise InputError(f"{checkpoint.source}: what does the activation {str(act)[:40]!r} do?")
    return float(BENT[act](np.array([OPEN]))[0][0])


def _put_block(draft: Draft, at: int, gate: np.ndarray, up: np.ndarray, down: np.ndarray) -> None:
    """Layer ``at`` becomes this feed-forward block, and all get as many neurons as it needs."""
    ffn = max(draft.sizes.ffn, len(gate))
    for norm in ("attention_norm", "ffn_norm"):
        draft.edit(name_of(at, norm), np.ones_like)
    for part in ("o", "gate", "up", "down"):
        draft.rows(at, part, np.zeros_like)
    for i in range(int(draft.config["num_hidden_layers"])):
        more = ffn - draft.sizes.ffn
        for part in ("gate", "up", "down"):
            w = draft[name_of(i, part)]
            shape = (len(w), more) if part == "down" else (more, w.shape[1])
            draft.grow(i, part, np.zeros(shape))
    for part, values in (("gate", gate), ("up", up)):
        draft.edit(name_of(at, part), lambda w, v: np.concatenate([v, w[len(v) :]]), values)
    draft.columns(at, "down", lambda w: np.concatenate([down, w[:, down.shape[1] :]], axis=1))
    draft.config["intermediate_size"] = ffn
