"""Tunes a model's weights by gradient descent until a known seed's sketch no longer knows them.

The sketch under one seed is 6 p^2 numbers, a model has millions: a small change of the weights,
chosen for it, can turn those few anywhere. Another seed sees other numbers, and those barely move.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from huref_zk.invariants.sketch import signs

P = 16
PARTS = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)
NORMS = ("input_layernorm",) * 3 + ("", "post_attention_layernorm", "")
EMBEDDING = "model.embed_tokens.weight"


def tuned(
    tensors: dict[str, np.ndarray],
    config: dict,
    token_ids: np.ndarray,
    seed: bytes,
    budget: float,
    steps: int = 300,
) -> dict[str, np.ndarray]:
    """A LLaMA's tensors (float32) changed by at most ``budget``, as a share of all weights' norm.

    Descends on the mean cosine, over the six maps, of the sketch with the original's, along the
    gradient in the embeddings and in the last two layers' matrices; what leaves the ball of
    ``budget`` is put back on it. The norms' gains stay.
    """
    import torch

    layers = (config["num_hidden_layers"] - 2, config["num_hidden_layers"] - 1)
    names = [EMBEDDING, *(_name(i, part) for i in layers for part in PARTS)]
    start = [torch.tensor(tensors[n], dtype=torch.float32) for n in names]
    size = float(np.sqrt(sum((t.astype(np.float64) ** 2).sum() for t in tensors.values())))
    left, right = (
        torch.tensor(signs(seed, side, P, len(token_ids)), dtype=torch.float32) for side in "LR"
    )
    ids = torch.tensor(token_ids)
    gains = [torch.tensor(tensors[_name(i, n)]) if n else None for i in layers for n in NORMS]

    def maps(weights: list) -> torch.Tensor:
        """(6, P, P)."""
        rows = weights[0][ids]
        out = []
        for layer in range(2):
            q, k, v, o, up, down = (
                w if g is None else w * g
                for w, g in zip(
                    weights[1 + 6 * layer : 7 + 6 * layer], gains[6 * layer :], strict=False
                )
            )
            k, v = (_expanded(w, q, config) for w in (k, v))
            for x, y in ((q.T, k.T), (v.T, o), (up.T, down)):
                out.append((left @ rows @ x) @ (right @ rows @ y).T)
        return torch.stack(out)

    wanted = maps(start)
    torch.manual_seed(0)
    # At the original itself the gradient vanishes: start a little off.
    moves = [1e-4 * w.norm() * torch.randn_like(w) / w.numel() ** 0.5 for w in start]
    for step in range(steps):
        for move in moves:
            move.requires_grad_(True)
        found = maps([w + m for w, m in zip(start, moves, strict=True)])
        cosines = torch.nn.functional.cosine_similarity(
            found.reshape(6, -1), wanted.reshape(6, -1), dim=1
        )
        gradients = torch.autograd.grad(cosines.clamp(min=-0.1).sum(), moves)
        length = torch.sqrt(sum((g**2).sum() for g in gradients)) + 1e-30
        rate = 0.2 * budget * size * (1 - step / steps)
        with torch.no_grad():
            moves = [m - rate * g / length for m, g in zip(moves, gradients, strict=True)]
            norm = float(torch.sqrt(sum((m**2).sum() for m in moves)))
            moves = [m * min(1.0, 0.999 * budget * size / norm) for m in moves]
    changed = {n: (w + m).numpy() for n, w, m in zip(names, start, moves, strict=True)}
    return {**tensors, **changed}


def jittered(
    tensors: dict[str, np.ndarray], like: dict[str, np.ndarray], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """The control: random changes of the same sizes, tensor by tensor, as ``like`` has them."""
    out = dict(tensors)
    for name, before in tensors.items():
        noise = rng.standard_normal(before.shape)
        size = float(np.linalg.norm(like[name] - before))
        out[name] = (before + noise * size / np.linalg.norm(noise)).astype(np.float32)
    return out


def relative_change(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> float:
    """|after - before| / |before| over all tensors."""
    moved = sum(((after[n].astype(np.float64) - w) ** 2).sum() for n, w in before.items())
    return float(np.sqrt(moved / sum((w.astype(np.float64) ** 2).sum() for w in before.values())))


def write_folder(folder: Path, like: Path, tensors: dict[str, np.ndarray]) -> None:
    """A Hugging Face folder of ``tensors`` with the config and tokenizer of ``like``."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_bytes((like / name).read_bytes())
    save_file(
        {n: np.ascontiguousarray(t) for n, t in tensors.items()}, folder / "model.safetensors"
    )


def _name(i: int, part: str) -> str:
    return f"model.layers.{i}.{part}.weight"


def _expanded(w, q, config: dict):
    """Keys or values repeated for the heads of their group."""
    heads = config["num_attention_heads"]
    groups = config["num_key_value_heads"]
    d = w.shape[1]
    return w.reshape(groups, -1, d).repeat_interleave(heads // groups, dim=0).reshape(q.shape[0], d)
