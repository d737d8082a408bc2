"""Attacks that are nearly right: twins of those in huref_zk.attacks that forget to compensate.

BROKEN[name](original, attacked) gives the twin of an attack: the attacked checkpoint with one part
of it put back to what it was, or left undone. REWRITES has some of the attacks in the form that
test_canonical.py uses: (tensors, random generator, broken) changes the tensors in place.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from huref_zk.attacks import ATTACKS, Checkpoint
from huref_zk.attacks.checkpoint import EMBEDDING
from tests.support.random_llm import LAYERS, llama_config

WRITERS = ("o_proj", "down_proj")


def with_tensors(checkpoint: Checkpoint, tensors: dict[str, np.ndarray]) -> Checkpoint:
    return replace(checkpoint, tensors={**checkpoint.tensors, **tensors})


def put_back(*parts: str):
    """A twin that leaves all tensors whose name has one of ``parts`` as they were."""

    def twin(original: Checkpoint, attacked: Checkpoint) -> Checkpoint:
        names = [n for n in original.tensors if any(part in n for part in parts)]
        assert names
        return with_tensors(attacked, {n: original.tensors[n] for n in names})

    return twin


def shuffled_gains(original: Checkpoint, attacked: Checkpoint) -> Checkpoint:
    """The new gains at the wrong columns."""
    gains = {n: np.flip(w).copy() for n, w in attacked.tensors.items() if "layernorm" in n}
    return with_tensors(attacked, gains)


def stray_gains(original: Checkpoint, attacked: Checkpoint) -> Checkpoint:
    """Gains other than 1 that nobody took out of the weights."""
    rng = np.random.default_rng(0)
    names = [n for n in attacked.tensors if "layernorm" in n]
    gains = {n: rng.uniform(0.2, 3, original.sizes.hidden).astype(np.float32) for n in names}
    return with_tensors(attacked, gains)


def half_scaled(original: Checkpoint, attacked: Checkpoint) -> Checkpoint:
    """Only half of the residual stream's coordinates scaled, as far as the embedding goes."""
    E = attacked.tensors[EMBEDDING].copy()
    half = E.shape[1] // 2
    E[:, :half] = original.tensors[EMBEDDING][:, :half]
    return with_tensors(attacked, {EMBEDDING: E})


def busy_blocks(original: Checkpoint, attacked: Checkpoint) -> Checkpoint:
    """The appended blocks add something after all."""
    last = original.sizes.layers - 1
    new = {}
    for name in attacked.tensors:
        number = name.split(".")[2] if ".layers." in name else ""
        if name not in original.tensors and any(w in name for w in WRITERS):
            new[name] = original.tensors[name.replace(f".{number}.", f".{last}.", 1)]
    assert new
    return with_tensors(attacked, new)


def disturbed(part: str, layer: int | None = None):
    """A twin in which what a part (of one layer, or all) has is moved on by one column, and its
    zeros are none."""

    def twin(original: Checkpoint, attacked: Checkpoint) -> Checkpoint:
        rng = np.random.default_rng(4)
        where = f".layers.{layer}." if layer is not None else ""
        names = [n for n in attacked.tensors if part in n and where in n and n.endswith("weight")]
        names += [n for n in attacked.tensors if n.endswith(part)]
        assert names
        changed = {}
        for name in names:
            w = attacked.tensors[name]
            noise = rng.normal(size=w.shape) * w.std()
            new = np.where(w == 0, noise, np.roll(w, 1, axis=-1))
            changed[name] = new.astype(np.float32)
        return with_tensors(attacked, changed)

    return twin


def other_experts(original: Checkpoint, attacked: Checkpoint) -> Checkpoint:
    """The router's rows in reverse: tokens go to the junk."""
    names = [n for n in attacked.tensors if n.endswith("mlp.gate.weight")]
    return with_tensors(attacked, {n: attacked.tensors[n][::-1].copy() for n in names})


def other_rows(original: Checkpoint, attacked: Checkpoint) -> Checkpoint:
    """The tokens' rows, one further on."""
    return with_tensors(attacked, {EMBEDDING: np.roll(attacked.tensors[EMBEDDING], 1, axis=0)})


BROKEN = {
    "residual-permutation": put_back("norm", "down_proj"),
    "residual-rotation": put_back("q_proj", "up_proj"),
    "sign-flips": put_back("o_proj"),
    "global-scale": half_scaled,
    "gain-rescaling": shuffled_gains,
    "gain-absorption": stray_gains,
    "head-permutation": put_back("q_proj"),
    "value-mixing": put_back("o_proj"),
    "query-turning": put_back("k_proj"),
    "ffn-permutation": put_back("down_proj"),
    "ffn-scaling": put_back("down_proj"),
    "vocabulary-renumbering": put_back("embed_tokens"),
    "appended-blocks": busy_blocks,
    "gate-turning": disturbed("up_proj"),
    "neuron-hiding": disturbed("down_proj"),
    "neuron-splitting": disturbed("down_proj"),
    "zero-gate-neurons": disturbed("gate_proj"),
    "dead-neurons": disturbed("down_proj"),
    "cancelling-neurons": disturbed("down_proj"),
    "silent-heads": disturbed("o_proj"),
    "cancelling-heads": disturbed("o_proj"),
    "head-splitting": disturbed("o_proj"),
    "head-widening": disturbed("o_proj"),
    "block-splitting": disturbed("down_proj"),
    "residual-widening": disturbed("o_proj"),
    "tokenizer-extension": other_rows,
    "embedding-adapter": disturbed("down_proj", 0),
    "hidden-ends": disturbed("down_proj", 0),
    "vanishing": disturbed("down_proj", 0),
    "sink-heads": disturbed("v_proj"),
    "marked-stream": disturbed("gate_proj"),
    "unrouted-experts": other_experts,
    "everything": disturbed("o_proj"),
    "blinding": disturbed("o_proj"),
}


# --- for test_canonical.py --------------------------------------------------------------------


def layers(tensors):
    """For each layer: its tensors' names by their last part, such as q_proj."""
    for i in range(LAYERS):
        prefix = f"model.layers.{i}."
        parts = {
            n.removeprefix(prefix).removesuffix(".weight").split(".")[-1]: n
            for n in tensors
            if n.startswith(prefix)
        }
        yield parts


def rewrite(attack: str):
    def change(tensors, rng, broken):
        original = Checkpoint(config=llama_config(), tensors=dict(tensors))
        attacked = ATTACKS[attack].run(original, rng)
        if broken:
            attacked = BROKEN[attack](original, attacked)
        tensors.clear()
        tensors.update(attacked.tensors)

    return change


REWRITES = {
    name: rewrite(attack)
    for name, attack in {
        "permute_residual": "residual-permutation",
        "fold_gains": "gain-absorption",
        "move_gains": "gain-rescaling",
        "rotate_residual": "residual-rotation",
        "flip_signs": "sign-flips",
        "permute_heads": "head-permutation",
        "permute_ffn": "ffn-permutation",
        "rotate_qk": "query-turning",
        "mix_ov": "value-mixing",
        "scale_ffn": "ffn-scaling",
    }.items()
}
