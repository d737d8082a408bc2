"""Neurons that none of the original's neurons is like, one by one, and that together do the same.

    hidden sides   act(g x) (u x) d = act(g x) [((u + n) x) (d + m) - (n x) (d + m) - (u x) m]
                   for any n and m: three neurons of one gate, each with an up or a down of its own
    turned gates   act(z) - act(-z) = z for SiLU and GELU, so that
                   act(g x) (u x) d = act(-g x) (u x) d + (g x) (u x) d, and
                   (g x) (u x) = [((g + c u) x)^2 - ((g - c u) x)^2] / 4 c, and
                   t^2 = act(t) t + act(-t) (-t): five neurons of other gates

Both are exact, and cost width alone.
"""

from __future__ import annotations

import numpy as np

from huref_zk.attacks.checkpoint import Checkpoint
from huref_zk.attacks.draft import Draft
from huref_zk.attacks.neurons import choose, junk
from huref_zk.errors import InputError

ODD_PART = ("silu", "swish", "gelu", "gelu_new", "gelu_pytorch_tanh")
"""Activations with act(z) - act(-z) = z."""


def hide_sides(
    checkpoint: Checkpoint, rng: np.random.Generator, size: float = 3.0, share: float = 1.0
) -> Checkpoint:
    """A ``share`` of the neurons, each as three of its gate; n and m are ``size`` times random."""
    draft = Draft(checkpoint)
    for i in range(draft.sizes.layers):
        c = choose(rng, draft.sizes.ffn, share)
        n, m = (junk(draft, rng, i, part, len(c), size) for part in ("up", "down"))
        gate, up, down = (draft.with_bias(i, part) for part in ("gate", "up", "down"))
        n = np.pad(n, ((0, 0), (0, up.shape[1] - n.shape[1])))
        draft.put_with_bias(i, "gate", np.concatenate([gate, gate[c], gate[c]]))
        old = up[c]
        up[c] += n
        draft.put_with_bias(i, "up", np.concatenate([up, -n, old]))
        down[:, c] += m
        draft.put_with_bias(i, "down", np.concatenate([down, down[:, c], -m], axis=1))
    draft.config["intermediate_size"] += 2 * len(c)
    return draft.done()


def turn_gates(
    checkpoint: Checkpoint, rng: np.random.Generator, tilt: float = 1.0, share: float = 1.0
) -> Checkpoint:
    """A ``share`` of the neurons, each as five, none with its gate. tilt: c, in units of |g| / |u|,
    with a random sign.

    Raises InputError for activations other than ODD_PART.
    """
    act = checkpoint.config.get("hidden_act") or "silu"
    if act not in ODD_PART:
        raise InputError(f"{checkpoint.source}: act(z) - act(-z) is not z for {str(act)[:40]!r}")
    draft = Draft(checkpoint)
    for i in range(draft.sizes.layers):
        chosen = choose(rng, draft.sizes.ffn, share)
        gate, up, down = (draft.with_bias(i, part) for part in ("gate", "up", "down"))
        g, u = gate[chosen], up[chosen]
        lengths = [np.linalg.norm(w, axis=1) for w in (g, u)]
        c = np.where(lengths[1] > 0, lengths[0] / np.maximum(lengths[1], 1e-30), 1.0)
        c = np.where(c > 0, c, 1.0) * tilt * rng.choice([-1.0, 1.0], len(g))
        plus, minus = g + (u.T * c).T, g - (u.T * c).T
        squares = np.concatenate([plus, -plus, minus, -minus])
        gate[chosen] = -g
        draft.put_with_bias(i, "gate", np.concatenate([gate, squares]))
        draft.put_with_bias(i, "up", np.concatenate([up, squares]))
        d = down[:, chosen] / (4 * c)
        draft.put_with_bias(i, "down", np.concatenate([down, d, d, -d, -d], axis=1))
    draft.config["intermediate_size"] += 4 * len(chosen)
    return draft.done()
