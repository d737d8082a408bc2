"""One original, and what an attack on it costs and hides."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from huref_zk.attacks import Checkpoint, read_checkpoint
from huref_zk.attacks.function import network
from huref_zk.attacks.marked import first_token
from huref_zk.comparison.compare import compare
from huref_zk.comparison.comparison import Side
from huref_zk.invariants.encoder import encode_float, load_encoder
from huref_zk.invariants.recipes import Cores, compute_cores
from huref_zk.invariants.sketch import PUBLIC_SEED, exact_ics_of, sketch
from huref_zk.render import load_generator, metrics, render
from research.derivations.corpus import corpus

WINDOWS, LENGTH = 12, 160
"""Of held-out text: how many, and tokens of the original's tokenizer in each."""
FEWER, WIDE = 6, 256
"""Windows for a model with a hidden size of WIDE or more."""


@dataclass(frozen=True)
class Seen:
    """What a fingerprint shows of a model: its cores, v as real numbers (512,), its picture."""

    cores: Cores
    v: np.ndarray
    picture: np.ndarray


class Bench:
    """ref: a folder or an embedded model's name; its tokenizer reads the held-out text."""

    def __init__(self, ref: str):
        self.original = read_checkpoint(ref)
        self.generator = load_generator(None)
        windows = WINDOWS if self.original.sizes.hidden < WIDE else FEWER
        self.text = held_out(self.original, windows)
        self.tokens = windows * LENGTH

    @cached_property
    def nats(self) -> float:
        return self.loss(self.original)

    @cached_property
    def own(self) -> Seen:
        return self.seen(self.original, None)

    def measured(self, attacked: Checkpoint) -> dict[str, float]:
        """damage: nats a token of the original's tokenizer on held-out text, above the original's;
        a, b, f: ICS of the cores over the original's tokens, found by text; cos_v, ciede2000: of
        the pictures over those; cos_v_default, ciede2000_default: over the tokens that the attacked
        model's tokenizer itself learnt first."""
        nats = self.loss(attacked)
        found = {"nats": nats, "damage": nats - self.nats}
        theirs, own = self._over_common(attacked)
        found |= dict(zip("abf", map(float, exact_ics_of(own.cores, theirs.cores)), strict=True))
        found |= self._apart(own, theirs, "")
        default = theirs if self._same_order(attacked) else self.seen(attacked, None)
        return found | self._apart(self.own, default, "_default")

    def compared(self, attacked: Checkpoint) -> dict[str, Any]:
        """What `compare` says: verdict, p, score, and the view that says so."""
        a, b = Side("original", self.original.model(), None), Side("copy", attacked.model(), None)
        v = compare(a, b).verdict
        return {"verdict": v.word, "p": v.p, "score": v.score, "view": v.view}

    def loss(self, checkpoint: Checkpoint) -> float:
        """Nats a token of the original's tokenizer. Each window follows the first token."""
        import torch

        tokenizer = tokenizer_of(checkpoint)
        model = network(checkpoint)
        start, total = first_token(checkpoint), 0.0
        with torch.no_grad():
            for text in self.text:
                ids = torch.tensor([[start, *tokenizer.encode(text, add_special_tokens=False).ids]])
                said = model(ids).logits[0, :-1].float().log_softmax(-1)
                total -= float(said.gather(-1, ids[0, 1:, None]).sum())
        return total / self.tokens

    def seen(self, checkpoint: Checkpoint, ids: np.ndarray | None) -> Seen:
        given = {} if ids is None else {"tokens": len(ids), "token_ids": ids.tolist()}
        cores = compute_cores(checkpoint.model(), **given)  # type: ignore[arg-type]
        v = encode_float(load_encoder(), sketch(cores, PUBLIC_SEED))
        return Seen(cores, v, render([round(float(x)) for x in v], self.generator))

    def _over_common(self, attacked: Checkpoint) -> tuple[Seen, Seen]:
        """(the attacked model's, the original's) over the original's tokens that both have."""
        here = self.own.cores.token_ids
        old, new = self.original.vocabulary, attacked.vocabulary
        if old is None or new is None or old == new:
            return self.seen(attacked, here), self.own
        text = {i: t for t, i in old.items()}
        there = np.array([new.get(text.get(int(i), ""), -1) for i in here])
        kept = np.flatnonzero(there >= 0)
        kept = kept[: len(kept) // 2 * 2]
        own = self.own if len(kept) == len(here) else self.seen(self.original, here[kept])
        return self.seen(attacked, there[kept]), own

    def _same_order(self, attacked: Checkpoint) -> bool:
        return attacked.token_order == self.original.token_order

    def _apart(self, x: Seen, y: Seen, suffix: str) -> dict[str, float]:
        thumbnails = [metrics.thumbnail(s.picture) for s in (x, y)]
        return {
            f"cos_v{suffix}": float(x.v @ y.v / np.linalg.norm(x.v) / np.linalg.norm(y.v)),
            f"ciede2000{suffix}": float(metrics.thumbnail_difference(*thumbnails)),
        }


def tokenizer_of(checkpoint: Checkpoint):
    from tokenizers import Tokenizer

    return Tokenizer.from_str(json.dumps(checkpoint.tokenizer))


def held_out(checkpoint: Checkpoint, count: int) -> tuple[str, ...]:
    """Windows of text that the embedded family was not trained on, LENGTH of its tokens each."""
    tokenizer = tokenizer_of(checkpoint)
    text = corpus()[1]
    starts = np.linspace(0.5 * len(text), len(text) - 40 * LENGTH, count).astype(int)
    windows = []
    for start in starts:
        line = text.index("\n", start) + 1
        piece = text[line : line + 20 * LENGTH]
        told = tokenizer.encode(piece, add_special_tokens=False)
        windows.append(piece[: told.offsets[LENGTH][0]])
    return tuple(windows)
