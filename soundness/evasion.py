"""Tunes a model's weights by gradient descent until a known seed's sketch no longer knows them.

The sketch under one seed is 1,536 numbers, a model has millions: a small change of the weights,
chosen for it, can turn those few anywhere. Another seed sees other numbers, and those barely move.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from huref_zk.invariants.cores import SUBSET
from huref_zk.invariants.directions import _strongest, how_many
from huref_zk.invariants.sketch import GROUP, LEFT, RIGHT, signs

PARTS = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)
EMBEDDING = "model.embed_tokens.weight"
REFRESHED = 20
"""Steps after which the strongest directions are found anew; between, they pass for constants."""


def tuned(
    tensors: dict[str, np.ndarray],
    config: dict,
    token_ids: np.ndarray,
    seed: bytes,
    budget: float,
    steps: int = 100,
) -> dict[str, np.ndarray]:
    """A LLaMA's tensors (float32) changed by at most ``budget``, as a share of all weights' norm.

    Descends on the mean cosine, over the six maps of the recipe `whole`, of the sketch with the
    original's, along the gradient in the embeddings and in all layers' matrices; what leaves the
    ball of ``budget`` is put back on it. The norms' gains stay.
    """
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)  # its matrices are too small for more to be of use
    names = [EMBEDDING, *(_name(i, p) for i in range(config["num_hidden_layers"]) for p in PARTS)]
    start = [torch.tensor(tensors[n], dtype=torch.float32) for n in names]
    size = float(np.sqrt(sum((t.astype(np.float64) ** 2).sum() for t in tensors.values())))
    whole = Whole(tensors, config, token_ids, seed)
    wanted = whole.maps(start)
    torch.manual_seed(0)
    # At the original itself the gradient vanishes: start a little off.
    moves = [1e-3 * w.norm() * torch.randn_like(w) / w.numel() ** 0.5 for w in start]
    for step in range(steps):
        for move in moves:
            move.requires_grad_(True)
        with threadpool_limits(1):
            found = whole.maps(
                [w + m for w, m in zip(start, moves, strict=True)], fresh=step % REFRESHED == 0
            )
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


class Whole:
    """The sketch of the recipe `whole` (invariants/cores.py) of a LLaMA, to be differentiated."""

    def __init__(self, tensors: dict[str, np.ndarray], config: dict, ids: np.ndarray, seed: bytes):
        import torch

        self.torch, self.config, self.ids = torch, config, torch.tensor(ids)
        self.left, self.right = (
            torch.tensor(signs(seed, side, n, len(ids)), dtype=torch.float32)
            for side, n in (("L", LEFT), ("R", RIGHT))
        )
        self.gains = [
            [torch.tensor(tensors[_name(i, n)]) for n in ("input_layernorm", _POST)]
            for i in range(config["num_hidden_layers"])
        ]
        self.some = np.linspace(0, len(ids), min(SUBSET, len(ids)), endpoint=False).astype(int)
        self.strongest: tuple | None = None

    def maps(self, weights: list, fresh: bool = True):
        """(6, 16, 16) of the embedding and each layer's PARTS."""
        rows = weights[0][self.ids]
        X = rows / rows.square().mean(dim=1, keepdim=True).sqrt()
        centred, read = X[self.some] - X.mean(dim=0), X[self.some]
        total = [0, 0, 0]
        for i, (before, after) in enumerate(self.gains):
            parts = weights[1 + len(PARTS) * i : 1 + len(PARTS) * (i + 1)]
            gram = centred.T @ centred
            for term, core in enumerate(self._cores(parts, before, after, centred, read)):
                size = ((core @ gram) * (gram @ core)).sum().sqrt()
                total[term] = total[term] + core / size.sqrt()
        if fresh or self.strongest is None:
            self.strongest = self._directions(X, total)
        lifted, told = self.strongest
        total = [core - lifted @ (told @ core) for core in total]
        total = [core - (core @ told.T) @ lifted.T for core in total]
        left, right = self.left @ X, self.right @ X
        groups = (left[:GROUP], left[GROUP:])
        return self.torch.stack([rows @ core @ right.T for rows in groups for core in total])

    def _cores(self, parts: list, before, after, centred, read):
        q, k, v, o, gate, up, down = parts
        heads, kv = self.config["num_attention_heads"], self.config["num_key_value_heads"]
        group, hd = heads // kv, q.shape[0] // heads
        q, k, v, gate, up = q * before, k * before, v * before, gate * after, up * after
        together = o.reshape(-1, kv, group, hd).sum(dim=2).reshape(-1, kv * hd)
        b = v.T @ together.T
        written = centred @ b
        values = (centred @ v.T).reshape(-1, kv, 1, hd)
        wanted = (written @ o).reshape(-1, kv, group, hd)
        w = (values * wanted).sum(dim=(0, 3)) / written.norm()
        queries, keys = (
            seen.transpose(1, 2) @ seen / len(centred)
            for seen in (
                (centred @ x.T).reshape(len(centred), -1, hd).transpose(0, 1) for x in (q, k)
            )
        )
        variance = (queries.reshape(kv, group, hd, hd) * keys[:, None]).sum(dim=(2, 3)) / hd
        w = w / (1 + variance).sqrt()
        mixed = (w[:, :, None, None] * q.reshape(kv, group, hd, -1)).sum(dim=1)
        yield mixed.reshape(kv * hd, -1).T @ k
        yield b
        g, u = read @ gate.T, read @ up.T
        s = self.torch.sigmoid(g)
        slope = s + g * s * (1 - s)
        inner = up * (g * s).mean(dim=0)[:, None] + gate * (slope * u).mean(dim=0)[:, None]
        yield inner.T @ down.T

    def _directions(self, X, cores: list):
        """As invariants/directions.py: (lifted, told), constants."""
        Xc = X.detach().numpy().astype(np.float64)
        Xc -= Xc.mean(axis=0)
        gram, seen = Xc.T @ Xc, 0
        for core in cores:
            C = core.detach().numpy().astype(np.float64)
            left, right = gram @ C, gram @ C.T
            seen = seen + (C @ right + C.T @ left) / np.einsum("ij,ji->", left, right)
        lifted, patterns = _strongest(Xc, seen, how_many(Xc.shape[1], len(Xc)))
        parts = (lifted, patterns.T @ Xc)
        return tuple(self.torch.tensor(x, dtype=self.torch.float32) for x in parts)


_POST = "post_attention_layernorm"


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
