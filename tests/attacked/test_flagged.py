"""What the cores do not see: blocks that are at work on bare embeddings and on nothing else.

The recipe `whole` asks every block what it does on the tokens' embeddings. A model can mark its
stream: a block put in front writes a tiny constant to a dimension that embeddings do not have, and
the first token of every text has another. What is added to the model's own layers hears them:

    neurons    whose gate the mark shuts for good; without it they are open
    heads      which with the marks attend to the first token alone, where their value is zero

On any text that begins with the first token they add nothing; to the cores they add whatever the
thief likes, as large as it likes. So the function stays, and every term of the fingerprint goes.
docs/threat-model.md names this limit.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from huref_zk.attacks.checkpoint import EMBEDDING, FINAL_NORM, HEAD, Checkpoint, name_of
from huref_zk.attacks.function import logits
from tests.support.small_models import checkpoint, likeness, off

FIRST = 0  # the token that every text begins with
FLAG, START = -2, -1  # the new dimensions: the mark, the first token's mark
MORE = 8  # new dimensions in all: transformers wants a multiple of the heads
NEURONS, LOUD, HEARD = 48, 300.0, 0.03  # how large neurons, and heads, write
SMALL = 1e-3  # of the stream, the marks
IDS = np.concatenate([[FIRST], np.arange(40) * 97 % 3000 + 300])
READERS, WRITERS = ("q", "k", "v", "gate", "up"), ("o", "down")


def widened(model: Checkpoint) -> dict[str, np.ndarray]:
    """The tensors with MORE silent dimensions: the same function. The gains make up for the mean
    square, which is taken over more."""
    d = model.sizes.hidden
    tensors = {name: w.astype(np.float64) for name, w in model.tensors.items()}
    for name, w in tensors.items():
        if w.ndim == 1:
            tensors[name] = np.append(w * np.sqrt(d / (d + MORE)), np.ones(MORE))
        elif any(name.endswith(f"{part}_proj.weight") for part in WRITERS):
            tensors[name] = np.pad(w, ((0, MORE), (0, 0)))
        else:
            tensors[name] = np.pad(w, ((0, 0), (0, MORE)))
    return tensors


def streams(model: Checkpoint) -> np.ndarray:
    """The stream that enters each layer, (layers, tokens, d), of a model without added parts."""
    import torch
    from transformers import LlamaConfig, LlamaModel

    config = {k: v for k, v in model.config.items() if k not in ("model_type", "dtype")}
    network = LlamaModel(LlamaConfig(**config)).double().eval()
    state = {
        n.removeprefix("model."): torch.tensor(w) for n, w in model.tensors.items() if n != HEAD
    }
    network.load_state_dict(state, strict=False)
    with torch.no_grad():
        said = network(torch.tensor(IDS)[None], output_hidden_states=True)
    return np.array([h[0].numpy() for h in said.hidden_states[:-1]])


def prepended(tensors: dict[str, np.ndarray], layers: int) -> dict[str, np.ndarray]:
    """With a block in front that does nothing yet."""
    out = {name: w for name, w in tensors.items() if ".layers." not in name}
    for i in range(layers):
        for part in (*READERS, *WRITERS, "attention_norm", "ffn_norm"):
            w = tensors[name_of(i, part)]
            out[name_of(i + 1, part)] = w
            if i == 0:
                out[name_of(0, part)] = np.zeros_like(w) if w.ndim > 1 else np.ones_like(w)
    return out


class Marking:
    """Adds marks, neurons and heads; marked: whether the mark is written at all."""

    def __init__(self, model: Checkpoint, marked: bool = True):
        self.rng = np.random.default_rng(3)
        self.model, self.s, self.d = model, model.sizes, model.sizes.hidden + MORE
        self.tensors, self.marked = prepended(widened(model), self.s.layers), marked
        self.layers = self.s.layers + 1
        eps = model.config["rms_norm_eps"] * model.sizes.hidden / self.d
        self.config = {
            **model.config,
            "hidden_size": self.d,
            "rms_norm_eps": eps,
            "num_hidden_layers": self.layers,
        }

    def made(self, kind=np.float64, **sizes) -> Checkpoint:
        tensors = {name: w.astype(kind) for name, w in self.tensors.items()}
        return replace(self.model, tensors=tensors, config={**self.config, **sizes})

    def attacked(self) -> Checkpoint:
        plain = streams(self.made())
        self.mark = SMALL * float(np.sqrt(np.square(plain[1:]).mean()))
        self.largest = float(np.sqrt(np.square(plain).mean(axis=2)).max())
        group = self.s.heads // self.s.kv_heads
        self.tensors[EMBEDDING][FIRST, START] = self.mark
        self._write_mark()
        sizes = {"intermediate_size": self.s.ffn + 2 * self.s.hidden}
        first = streams(self.made(**sizes))[:, 0]  # the first token's: it hears none but itself
        for i in range(self.layers):
            self._neurons(i, open_=i > 0)
            self._heads(i, group, first[i] if i > 0 else None)
        return self.made(
            np.float32,
            intermediate_size=sizes["intermediate_size"] + NEURONS,
            num_attention_heads=self.s.heads + group,
            num_key_value_heads=self.s.kv_heads + 1,
        )

    def grow(self, i: int, part: str, rows: np.ndarray) -> None:
        """More outputs of what reads; more inputs of what writes."""
        name = name_of(i, part)
        axis = 1 if part in WRITERS else 0
        self.tensors[name] = np.concatenate([self.tensors[name], rows], axis=axis)

    def _write_mark(self) -> None:
        """t silu(t) + t silu(-t)(-1) = t^2, and the t of a normalised stream have one mean square:
        pairs of neurons, one a coordinate, write a constant."""
        d, old = self.d, self.s.hidden
        for i in range(self.layers):
            both = np.zeros((2 * old, d))
            down = np.zeros((d, 2 * old))
            if i == 0:
                one = np.eye(old, d) / self.tensors[name_of(0, "ffn_norm")]
                both = np.concatenate([one, -one])
                down[FLAG] = self.marked * self.mark / d
            for part, values in (("gate", both), ("up", both), ("down", down)):
                self.grow(i, part, values)

    def _neurons(self, i: int, open_: bool) -> None:
        gate, up = self.rng.normal(size=(2, NEURONS, self.d))
        gate[:, START] = up[:, START] = 0
        gate[:, FLAG], up[:, FLAG] = -1e4 * self.largest / self.mark, 0
        down = LOUD * self.rng.normal(size=(self.d, NEURONS)) * open_
        down[[FLAG, START]] = 0
        for part, values in (("gate", gate), ("up", up), ("down", down)):
            self.grow(i, part, values)

    def _heads(self, i: int, group: int, first: np.ndarray | None) -> None:
        hd = self.s.head_dim
        slow = hd // 2 - 1  # the pair (slow, hd - 1) hardly turns with distance
        q = self.rng.normal(size=(group, hd, self.d))
        k, v = self.rng.normal(size=(2, hd, self.d))
        for w in (*q, k):
            w[[slow, hd - 1]] = 0
            w[:, [FLAG, START]] = 0
        for w in q:
            w[slow, FLAG] = 1e3 * self.largest / self.mark
        k[slow, START] = 1e2 * self.largest / self.mark
        v[:, [FLAG, START]] = 0
        o = HEARD * self.rng.normal(size=(self.d, group * hd)) * (first is not None)
        o[[FLAG, START]] = 0
        if first is not None:
            seen = first * self.tensors[name_of(i, "attention_norm")]
            seen[[FLAG, START]] = 0
            v -= np.outer(v @ seen, seen) / (seen @ seen)
        for part, values in (("q", q.reshape(-1, self.d)), ("k", k), ("v", v), ("o", o)):
            self.grow(i, part, values)


@pytest.fixture(scope="module")
def model() -> Checkpoint:
    return checkpoint("demo-base")


def test_the_function_stays_and_every_term_goes(model):
    attacked = Marking(model).attacked()
    found = logits(attacked, IDS)
    assert off(found, logits(model, IDS)) < 1e-3
    assert np.abs(likeness(model, attacked)).max() < 0.15


def test_without_the_mark_the_function_goes_too(model):
    """Control: nothing but the mark keeps what is added away from the text."""
    unmarked = Marking(model, marked=False).attacked()
    assert off(logits(unmarked, IDS), logits(model, IDS)) > 1


def test_silent_dimensions_alone_change_nothing(model):
    """Control: neither the new dimensions nor the new block are what moves the fingerprint."""
    wider = Marking(model)
    assert off(logits(wider.made(np.float32), IDS), logits(model, IDS)) < 1e-3
    assert likeness(model, wider.made(np.float32)).min() > 0.9999
    assert FINAL_NORM in wider.tensors
