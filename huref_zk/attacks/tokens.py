"""Other tokens: rows re-drawn, a tokenizer extended, cut, or learnt anew.

Those that change the tokenizer need a tokenizer.json with a BPE model.
"""

from __future__ import annotations

import copy
import itertools
import json
from typing import Any

import numpy as np

from huref_zk.attacks.checkpoint import EMBEDDING, HEAD, Checkpoint
from huref_zk.attacks.draft import Draft
from huref_zk.attacks.texts import some_text
from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.models.tokenizer import parse_tokenizer

STRATA = 8
UNLIKELY = 8.0
"""How far a new token's output row lies beyond the mean of the rarest, seen from that of all."""
NEVER = ("ÀÁ", "\uf8f0\uf8f1")
"""Pairs of characters that no text has: in byte-level tokenizers they stand for the bytes C0 and
C1, which UTF-8 does not use; in others they are of the area for private use."""


def redraw_rows(
    checkpoint: Checkpoint, rng: np.random.Generator, first: int = STRATA
) -> Checkpoint:
    """The embeddings of all strata from ``first`` on drawn anew, a stratum being an eighth of the
    vocabulary by order of learning, 1 the commonest. The output is untied and kept. Exact on text
    that has none of the tokens; text that has some pays."""
    draft = Draft(checkpoint)
    draft.untie()
    order = checkpoint.token_order or tuple(range(checkpoint.sizes.vocab))
    ids = np.array(order[(first - 1) * len(order) // STRATA :], dtype=np.int64)
    rows = draft[EMBEDDING]
    rows[ids] = rows.std() * rng.normal(size=rows[ids].shape)
    draft[EMBEDDING] = rows
    return draft.done()


def extend_tokenizer(
    checkpoint: Checkpoint, rng: np.random.Generator, count: int = 4096
) -> Checkpoint:
    """``count`` tokens more, which the tokenizer says it learnt first, of characters that no text
    has; their rows are random, their outputs unlikely. The old tokens' logits stay; what share of
    probability the new ones take, some thousandths, is lost. InputError without a BPE."""
    tokenizer = _bpe(checkpoint)
    model = tokenizer["model"]
    vocab = model["vocab"]
    for token in tokenizer.get("added_tokens") or ():
        vocab.setdefault(token["content"], token["id"])  # else the library would number it anew
    left, right = list(NEVER[0] if all(c in vocab for c in NEVER[0]) else NEVER[1])
    start, rows = checkpoint.sizes.vocab, 0
    joined = isinstance(next(iter(model["merges"]), ""), str)
    merges: list[Any] = []
    known = [left, right]
    for single in known:
        if single not in vocab:
            vocab[single], rows = start + rows, rows + 1
    for pair in _pairs(known):
        if len(merges) == count:
            break
        text = "".join(pair)
        if text in vocab:
            continue
        vocab[text], rows = start + rows, rows + 1
        merges.append(" ".join(pair) if joined else list(pair))
    model["merges"] = merges + list(model["merges"])
    draft = Draft(checkpoint)
    draft.untie()
    spread = draft[EMBEDDING].std()
    draft.edit(
        EMBEDDING, lambda w: np.concatenate([w, spread * rng.normal(size=(rows, w.shape[1]))])
    )
    order = checkpoint.token_order or tuple(range(start))
    rare = np.array(order[-max(1, len(order) // 4) :], dtype=np.int64)
    outputs = draft[HEAD]
    mean = outputs.mean(axis=0)
    unlikely = mean + UNLIKELY * (outputs[rare].mean(axis=0) - mean)
    draft[HEAD] = np.concatenate([outputs, np.tile(unlikely, (rows, 1))])
    return _with_tokenizer(draft, tokenizer, start + rows)


def _pairs(known: list[str]) -> Any:
    """Pairs (left, right) whose texts are ever longer strings of the two characters."""
    a, b = known
    shorter = [a, b]
    while True:
        longer = []
        for text, more in itertools.product(shorter, (a, b)):
            yield text, more
            longer.append(text + more)
        shorter = longer


def cut_tokenizer(
    checkpoint: Checkpoint, rng: np.random.Generator, share: float = 0.25
) -> Checkpoint:
    """The ``share`` of the merges that were learnt last forgotten: text is read in shorter pieces.
    Not exact; the rows stay where they are. ``rng`` is not used. InputError without a BPE."""
    tokenizer = _bpe(checkpoint)
    model = tokenizer["model"]
    kept = len(model["merges"]) - int(share * len(model["merges"]))
    gone = {_text(m) for m in model["merges"][kept:]} - {_text(m) for m in model["merges"][:kept]}
    model["merges"] = model["merges"][:kept]
    added = {token["content"] for token in tokenizer.get("added_tokens") or ()}
    model["vocab"] = {t: i for t, i in model["vocab"].items() if t not in gone or t in added}
    return _with_tokenizer(Draft(checkpoint), tokenizer, checkpoint.sizes.vocab)


def relearn_tokenizer(
    checkpoint: Checkpoint, rng: np.random.Generator, share: float = 0.5
) -> Checkpoint:
    """A tokenizer learnt anew, with ``share`` of the vocabulary, from another text (texts.py); each
    row, of the output too, is the mean of those of the old pieces of its text (tokenizer
    transplant). Not exact. ``rng`` is not used.

    Raises InputError without a BPE, EnvironmentLacks without the library tokenizers.
    """
    try:
        from tokenizers import Tokenizer, trainers
    except ImportError as e:
        raise EnvironmentLacks(f"learning a tokenizer needs tokenizers ({e})") from e
    old_json = _bpe(checkpoint)
    old = Tokenizer.from_str(json.dumps(old_json))
    special = [t["content"] for t in old_json.get("added_tokens") or ()]
    size = int(share * len(old_json["model"]["vocab"]))
    fresh = Tokenizer.from_str(json.dumps(old_json))
    fresh.train_from_iterator(
        [some_text()],
        trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=special,
            initial_alphabet=[t for t in old_json["model"]["vocab"] if len(t) == 1],
            show_progress=False,
        ),
    )
    new_json = json.loads(fresh.to_str())
    vocab = new_json["model"]["vocab"] | {
        t["content"]: t["id"] for t in new_json.get("added_tokens") or ()
    }
    known = old_json["model"]["vocab"] | {t["content"]: t["id"] for t in old_json["added_tokens"]}
    pieces = [np.array(_pieces(text, known, old)) for text in sorted(vocab, key=vocab.__getitem__)]
    draft = Draft(checkpoint)
    for name in (EMBEDDING, HEAD):
        if name in draft:
            rows = draft[name]
            draft[name] = np.array([rows[ids].mean(axis=0) for ids in pieces])
    new_of = {i: vocab[text] for text, i in known.items() if text in vocab}
    for key, value in draft.config.items():
        if key.endswith("_token_id") and type(value) is int:
            draft.config[key] = new_of.get(value, 0)
    return _with_tokenizer(draft, new_json, len(pieces))


def _pieces(text: str, known: dict[str, int], old: Any) -> list[int]:
    """The old tokens that make up a new token's text, as the tokenizer's model has it."""
    if text in known:
        return [known[text]]
    return [token.id for token in old.model.tokenize(text)] or [0]


def _bpe(checkpoint: Checkpoint) -> dict:
    """A copy of the tokenizer. InputError where it is none, or no BPE."""
    tokenizer = copy.deepcopy(checkpoint.tokenizer) or {}
    model = tokenizer.get("model")
    if not isinstance(model, dict) or not model.get("merges") or "vocab" not in model:
        raise InputError(f"{checkpoint.source} has no tokenizer.json with a BPE model to rewrite")
    tokenizer.setdefault("added_tokens", [])
    return tokenizer


def _text(merge: Any) -> str:
    return merge.replace(" ", "") if isinstance(merge, str) else "".join(merge)


def _with_tokenizer(draft: Draft, tokenizer: dict, rows: int) -> Checkpoint:
    draft.config["vocab_size"] = rows
    told = parse_tokenizer(tokenizer)
    return draft.done(
        tokenizer=tokenizer,
        special=told.special,
        vocabulary=told.vocabulary,
        token_order=told.order,
        alphabet=told.alphabet,
        tokenizer_size=told.size,
    )
