"""Parts that are at work on bare embeddings and on nothing else: what no core can see through.

A fingerprint asks every block what it does on the tokens' embeddings, which from the second block
on no text shows it. Here the stream is marked: a block put in front writes a tiny FLAG to a
dimension that embeddings do not have, and the first token of every text has a START of its own.
What is added to the model's layers hears them:

    neurons   whose gate the flag shuts for good; without it they are open
    heads     sinks, which with both marks attend to the first token, where their value is zero

On texts that begin with the first token they add nothing; to a fingerprint of bare embeddings they
add whatever the thief likes, as loud as it likes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from huref_zk.attacks.checkpoint import EMBEDDING, Checkpoint, name_of
from huref_zk.attacks.draft import NORM_OF, WRITERS, Draft
from huref_zk.attacks.function import streams
from huref_zk.attacks.more_heads import add_groups, how_many_groups
from huref_zk.attacks.neurons import typical
from huref_zk.attacks.wide import add_dimensions

MARKS = 3
NEURONS = 48
SMALL = 3e-4
"""The marks' size beside the stream's."""
DEEP = 1e4
"""How far beyond the largest stream the marks are heard."""
TEXT = 40


def mark_stream(
    checkpoint: Checkpoint, rng: np.random.Generator, size: float = 300.0
) -> Checkpoint:
    """Both, neurons ``size`` times as loud as the model's and heads a hundredth of that. Exact on
    texts that begin with the first token. EnvironmentLacks without torch and transformers."""
    return Marking(checkpoint, rng).done(neurons=size, heads=size / 100)


def add_sink_heads(
    checkpoint: Checkpoint, rng: np.random.Generator, size: float = 3.0
) -> Checkpoint:
    """The heads alone, ``size`` times as loud as the model's. As ``mark_stream``."""
    return Marking(checkpoint, rng).done(heads=size)


def first_token(checkpoint: Checkpoint) -> int:
    """The token that is taken to begin every text: the config's, else number 0."""
    told = checkpoint.config.get("bos_token_id")
    return told if type(told) is int and 0 <= told < checkpoint.sizes.vocab else 0


@dataclass(frozen=True)
class Marks:
    """Dimensions: the constant that embeddings have, the flag, the first token's mark."""

    constant: int
    flag: int
    start: int


class Marking:
    """A model with a widened stream and an empty block in front, ready to be marked."""

    def __init__(self, checkpoint: Checkpoint, rng: np.random.Generator, marked: bool = True):
        draft = Draft(checkpoint)
        draft.untie()
        self.rng, self.groups = rng, how_many_groups(draft, 1)
        d, old, kv = draft.sizes.hidden, draft.sizes.heads, draft.sizes.kv_heads
        heads = math.lcm(old, old // kv * (kv + self.groups))
        add_dimensions(draft, -(-(d + MARKS) // heads) * heads - d)
        draft.arrange([0, *range(draft.sizes.layers)])
        for part in (*NORM_OF, *WRITERS):
            draft.rows(0, part, np.zeros_like)
        for norm in ("attention_norm", "ffn_norm"):
            draft.edit(name_of(0, norm), np.ones_like)
        self.marks = Marks(d, d + 1, d + 2)
        plain = streams(draft.done(), self._text(checkpoint))
        self.mark = SMALL * float(np.sqrt(np.square(plain[0]).mean()))
        self.loudest = float(np.sqrt(np.square(plain).mean(axis=2)).max())
        rows = draft[EMBEDDING]
        rows[:, self.marks.constant] = self.mark
        rows[first_token(checkpoint), self.marks.start] = self.mark
        draft[EMBEDDING] = rows
        self._neurons(draft, 0, 1)
        if marked:
            self._write_flag(draft)
        self.draft, self.checkpoint = draft, checkpoint

    def _text(self, checkpoint: Checkpoint) -> np.ndarray:
        ids = np.random.default_rng(0).integers(checkpoint.sizes.vocab, size=TEXT)
        return np.concatenate([[first_token(checkpoint)], ids])

    def _write_flag(self, draft: Draft) -> None:
        """The new block's one neuron: a constant times the constant."""
        wide = len(draft[name_of(0, "ffn_norm")])
        rows = draft[EMBEDDING]
        typical = float(np.sqrt(np.median(np.square(rows).mean(axis=1))))
        read = np.zeros((1, wide))
        read[0, self.marks.constant] = 4 * typical / self.mark
        written = np.zeros((wide, 1))
        written[self.marks.flag] = self.mark / 16
        for part, values in (("gate", read), ("up", read), ("down", written)):
            self._set_last(draft, 0, part, values)

    def _neurons(self, draft: Draft, size: float, count: int) -> None:
        """``count`` more in every layer, of which the first layer's do nothing."""
        for i in range(int(draft.config["num_hidden_layers"])):
            wide = len(draft[name_of(i, "ffn_norm")])
            gate, up = self.rng.normal(size=(2, count, wide))
            down = size * typical(draft[name_of(i, "down")]) * self.rng.normal(size=(wide, count))
            if i == 0:
                down[:] = 0
            for w in (gate, up, down.T):
                w[:, self._helpers()] = 0
            gate[:, self.marks.flag] = -DEEP * self.loudest / self.mark
            for part, values in (("gate", gate), ("up", up), ("down", down)):
                draft.grow(i, part, values)
        draft.config["intermediate_size"] = int(draft.config["intermediate_size"]) + count

    def _heads(self, draft: Draft, size: float, first: np.ndarray) -> None:
        """first (layers, d): the first token's stream, of which the values must be zero."""
        s = draft.sizes
        group, hd = s.heads // s.kv_heads, s.head_dim
        slow = [hd // 2 - 1, hd - 1]  # the plane that turns the least with distance
        flag, start, helpers = self.marks.flag, self.marks.start, self._helpers()
        for i in range(int(draft.config["num_hidden_layers"])):
            wide = first.shape[1]
            for _ in range(self.groups):
                q = self.rng.normal(size=(group, hd, wide))
                k, v = self.rng.normal(size=(2, hd, wide))
                v *= typical(draft[name_of(max(i, 1), "v")])
                for w in (*q, k):
                    w[slow] = 0
                for w in (*q, k, v):
                    w[:, helpers] = 0
                q[:, slow[0], flag] = 1e3 * self.loudest / self.mark
                k[slow[0], start] = 1e2 * self.loudest / self.mark
                seen = first[i] * draft[name_of(i, "attention_norm")]
                seen[helpers] = 0
                v -= np.outer(v @ seen, seen) / max(float(seen @ seen), 1e-30)
                own = draft[name_of(max(i, 1), "o")][:, : s.heads * hd]
                o = size * typical(own) * self.rng.normal(size=(wide, group * hd))
                o[helpers] = 0
                if i == 0:
                    o[:] = 0
                for part, values in (("q", q.reshape(-1, wide)), ("k", k), ("v", v), ("o", o)):
                    draft.grow(i, part, values)
        add_groups(draft, self.groups)

    def _helpers(self) -> list[int]:
        return [self.marks.constant, self.marks.flag, self.marks.start]

    @staticmethod
    def _set_last(draft: Draft, i: int, part: str, values: np.ndarray) -> None:
        def put(w: np.ndarray) -> np.ndarray:
            if part in WRITERS:
                w[:, -values.shape[1] :] = values
            else:
                w[-len(values) :] = values
            return w

        draft.columns(i, part, put)

    def done(self, neurons: float = 0.0, heads: float = 0.0) -> Checkpoint:
        """With NEURONS neurons and the least number of heads added, each if it is loud at all."""
        draft = self.draft
        if neurons:
            self._neurons(draft, neurons, NEURONS)
        if heads:
            first = streams(draft.done(), self._text(self.checkpoint)[:1])[:, 0]
            self._heads(draft, heads, first)
        return draft.done()
