"""Which model is this one's base? Two models, or saved fingerprints, compared.

    1 tokens      rows of the two embeddings that belong together
    2 sketches    every layer of both, 3 maps of 32 x 32 each; of one also with shuffled tokens
    3 matching    of the layers, in order; its score is what the verdict is about
    4 exact ICS   over all tokens: of the last two matched layers, in the variants of variants.py,
                  and of the whole models, by the cores that their pictures show
    5 PCS         of the raw parameters of what was matched
    6 verdict     by the nulls of null.py

Steps 4 and 5, and the shuffles of 2, need the weights; of saved fingerprints they are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from huref_zk.comparison.comparison import Comparison, LayerIcs, Side, Sketched
from huref_zk.comparison.layers import (
    Opened,
    Progress,
    layer_ics,
    layer_sketches,
    matched_score,
    rows_of,
)
from huref_zk.comparison.null import Null, fit, judge
from huref_zk.comparison.parameters import parameter_cosine
from huref_zk.comparison.saved import Saved, read_fingerprint
from huref_zk.comparison.tokens import MISSING, common_tokens, ids_in
from huref_zk.comparison.variants import VARIANTS, exact_ics, whole_ics
from huref_zk.errors import InputError
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.models.load import open_model

SHUFFLES = 32
EXACT_LAYERS = 2
REARRANGED = 0.1
"""Training moves the maps, products of parameters, further than the parameters: ICS below PCS. A
matched score above PCS by this much means that somebody rearranged the parameters."""
Stage = Callable[[str, int, int], None]


def open_side(
    ref: str,
    *,
    revision: str | None = None,
    allow_pickle: bool = False,
    map_file: Path | None = None,
) -> Side:
    """A `.hzf` file or a model reference as open_model takes it. InputError."""
    if Path(ref).suffix == ".hzf" and Path(ref).is_file():
        saved = read_fingerprint(Path(ref))
        return Side(saved.name, None, saved)
    model = open_model(ref, revision=revision, allow_pickle=allow_pickle)
    return Side(ref, model, None, map_file)


def compare(a: Side, b: Side, stage: Stage | None = None) -> Comparison:
    """Compare two sides. ``stage`` hears (what, done, total). InputError when they cannot be."""
    if a.model is None and b.model is not None:
        return compare(b, a, stage).mirrored()
    if a.model is None:
        return _of_saved(a, b)
    if b.model is None:
        assert b.saved is not None
        return _with_saved(a, b.saved, stage)
    return _of_models(a, b, stage)


def _of_models(a: Side, b: Side, stage: Stage | None) -> Comparison:
    assert a.model is not None and b.model is not None
    (family_a, dims_a), (family_b, dims_b) = a.sizes(), b.sizes()
    ids_a, ids_b, by = common_tokens(a.model, dims_a.vocab, b.model, dims_b.vocab)
    left = Opened(a.model, family_a, dims_a, rows_of(a.model, family_a, ids_a))
    right = Opened(b.model, family_b, dims_b, rows_of(b.model, family_b, ids_b))
    x, _ = layer_sketches(left, PUBLIC_SEED, progress=_of(stage, f"sketching {a.name}"))
    y, shuffled = layer_sketches(
        right,
        PUBLIC_SEED,
        shuffles=_shuffles(len(ids_a)),
        progress=_of(stage, f"sketching {b.name}"),
    )
    matrix = layer_ics(x, y)
    score, pairs = matched_score(matrix)
    sides = ((a.model, family_a, dims_a, ids_a), (b.model, family_b, dims_b, ids_b))
    last = pairs[-EXACT_LAYERS:]
    del left, right
    _tell(stage, "exact ICS", 0, 1)
    variants = {"matched": _matched(matrix, last)}
    for n, variant in enumerate(VARIANTS):
        heard = _part(_of(stage, "exact ICS"), n, len(VARIANTS))
        variants[variant] = _rows(last, exact_ics(*sides, last, variant, heard))
    whole = whole_ics(*sides, _of(stage, "whole models"))
    pcs = parameter_cosine(*sides, pairs, _of(stage, "parameters"))
    return _conclude(
        a, b, len(ids_a), by, matrix, score, pairs, variants, pcs, _null(x, shuffled), whole
    )


def _with_saved(a: Side, b: Saved, stage: Stage | None) -> Comparison:
    return compare_sketched(a, sketch_over(a, b, stage), b)


def sketch_over(a: Side, b: Saved, stage: Stage | None = None) -> Sketched:
    """Sketch the model of ``a`` over the tokens of a saved fingerprint, also shuffled.

    The result serves every fingerprint over the same tokens (Saved.basis). Raises InputError when
    the model lacks too many of the tokens.
    """
    assert a.model is not None
    family, dims = a.sizes()
    ids = ids_in(a.model, dims.vocab, b.tokens)
    opened = Opened(a.model, family, dims, rows_of(a.model, family, ids))
    p = b.maps.shape[-1]
    x, shuffled = layer_sketches(
        opened, b.seed, p, _shuffles(len(ids)), _of(stage, f"sketching {a.name}")
    )
    by = "number" if b.tokens.texts is None or a.model.vocabulary() is None else "text"
    return Sketched(b.basis, x, shuffled, int((ids != MISSING).sum()), by)


def compare_sketched(a: Side, sketched: Sketched, b: Saved) -> Comparison:
    """A model, sketched over the tokens of ``b`` or of another over the same, against ``b``."""
    if sketched.basis != b.basis:
        raise ValueError("sketched over other tokens than those of the fingerprint")
    matrix = layer_ics(sketched.maps, b.maps)
    score, pairs = matched_score(matrix)
    variants = {"matched": _matched(matrix, pairs[-EXACT_LAYERS:])}
    null = _null(b.maps, sketched.shuffled)
    found, by = sketched.found, sketched.by
    other = Side(b.name, None, b)
    return _conclude(a, other, found, by, matrix, score, pairs, variants, None, null)


def _of_saved(a: Side, b: Side) -> Comparison:
    x, y = a.saved, b.saved
    assert x is not None and y is not None
    if not same_tokens(x, y):
        raise InputError(
            f"{a.name} and {b.name} were fingerprinted over different tokens; "
            "give one of the two as a model, so that its tokens can be matched to the other's"
        )
    matrix = layer_ics(x.maps, y.maps)
    score, pairs = matched_score(matrix)
    variants = {"matched": _matched(matrix, pairs[-EXACT_LAYERS:])}
    by = "number" if x.tokens.texts is None or y.tokens.texts is None else "text"
    return _conclude(a, b, len(x.tokens.ids), by, matrix, score, pairs, variants, None, None)


def same_tokens(x: Saved, y: Saved) -> bool:
    """Whether two saved fingerprints can be compared: same tokens, by text if known, same signs."""
    if (x.seed, x.maps.shape[2:]) != (y.seed, y.maps.shape[2:]):
        return False
    if x.tokens.texts is not None and y.tokens.texts is not None:
        return x.tokens.texts == y.tokens.texts
    return bool(np.array_equal(x.tokens.ids, y.tokens.ids))


def _null(fixed: np.ndarray, shuffled: np.ndarray) -> Null:
    """The null of scores between ``fixed`` (n, 3, p, p) and shuffled ones (s, m, 3, p, p)."""
    return fit([matched_score(layer_ics(fixed, maps))[0] for maps in shuffled])


def _conclude(
    a: Side,
    b: Side,
    tokens: int,
    by: str,
    matrix: np.ndarray,
    score: float,
    pairs: tuple[tuple[int, int], ...],
    variants: dict[str, tuple[LayerIcs, ...]],
    pcs: float | None,
    null: Null | None,
    whole: tuple[float, float, float] | None = None,
) -> Comparison:
    verdict = judge(score, null)
    rearranged = verdict.word == "related" and pcs is not None and pcs < score - REARRANGED
    return Comparison(
        a=a.name,
        b=b.name,
        tokens=tokens,
        tokens_by=by,
        score=score,
        pairs=pairs,
        matrix=matrix,
        variants=variants,
        whole=whole,
        pcs=pcs,
        rearranged=rearranged,
        shuffled=null,
        verdict=verdict,
    )


def _matched(matrix: np.ndarray, pairs: tuple[tuple[int, int], ...]) -> tuple[LayerIcs, ...]:
    return _rows(pairs, np.array([matrix[pair] for pair in pairs]))


def _rows(pairs, terms: np.ndarray) -> tuple[LayerIcs, ...]:
    return tuple(
        LayerIcs(i, j, (float(t[0]), float(t[1]), float(t[2])))
        for (i, j), t in zip(pairs, terms, strict=True)
    )


def _shuffles(count: int) -> np.ndarray:
    """The same SHUFFLES orders of ``count`` tokens every time."""
    rng = np.random.default_rng(1)
    return np.array([rng.permutation(count) for _ in range(SHUFFLES)])


def _of(stage: Stage | None, what: str) -> Progress:
    return lambda done, total: _tell(stage, what, done, total)


def _part(heard: Progress, n: int, count: int) -> Progress:
    """Progress of the n-th of ``count`` equal parts, as that of the whole."""
    return lambda done, total: heard(n * total + done, count * total)


def _tell(stage: Stage | None, what: str, done: int, total: int) -> None:
    if stage is not None:
        stage(what, done, total)
