"""Is this model made from that one? Two models, or saved fingerprints, compared.

    1 tokens     rows of the two embeddings that belong together (tokens.py)
    2 survey     one pass over each model, everything kept small (survey.py)
    3 views      independent ways to see kinship (views.py), parts one by one (parts/)
    4 verdict    by the nulls of every view together (verdict.py)

Saved fingerprints hold a survey over tokens of their own, without parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from huref_zk.comparison.comparison import Comparison, Side
from huref_zk.comparison.frames import Frames, frames_of
from huref_zk.comparison.opened import OpenModel
from huref_zk.comparison.parameters import parameter_cosine
from huref_zk.comparison.parts.matching import match_parts
from huref_zk.comparison.parts.partners import Parts
from huref_zk.comparison.parts.story import what_happened
from huref_zk.comparison.parts.view import TokenView, budget, token_projection, token_view
from huref_zk.comparison.saved import Saved, read_fingerprint
from huref_zk.comparison.sights import sights
from huref_zk.comparison.survey import Progress, Survey, survey
from huref_zk.comparison.tokens import MISSING, common_tokens, ids_in
from huref_zk.comparison.verdict import RELATED, judge
from huref_zk.comparison.views import LayerMap, layers_view, no_tokens_view, parts_view, whole_view
from huref_zk.errors import InputError
from huref_zk.models.load import open_model

REARRANGED = 0.1
"""Training moves the maps, products of parameters, further than the parameters: ICS below PCS. An
ICS of matched layers above PCS by this much means that somebody rearranged the parameters."""
BY_NUMBER = (
    "tokens matched by their number only, as a tokenizer is not known: models with differently "
    "numbered vocabularies would pass for strangers in all views but the one without tokens"
)
Stage = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Surveyed:
    """A model surveyed over the tokens of saved fingerprints of this basis; found: how many of the
    tokens the model has, "text" or "number" by."""

    basis: str
    survey: Survey
    found: int
    by: str


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
    if a.saved is not None and b.saved is not None:
        return _of_saved(a.saved, b.saved)
    if b.saved is not None:
        return compare_surveyed(a, survey_over(a, b.saved, stage), b.saved)
    return _of_models(a, b, stage)


def _of_models(a: Side, b: Side, stage: Stage | None) -> Comparison:
    x, y = a.opened, b.opened
    common = common_tokens(x.model, x.dims.vocab, y.model, y.dims.vocab)
    frames = [frames_of(o, ids, common.sizes) for o, ids in ((x, common.a), (y, common.b))]
    views = _token_views(x, y, frames)
    told = _Told(stage, x.dims.layers + y.dims.layers)
    surveys = [
        survey(o, f, view, told.part(f"reading {side.name}"))
        for o, f, view, side in zip((x, y), frames, views, (a, b), strict=True)
    ]
    del frames, views
    parts = match_parts(surveys[0].parts, surveys[1].parts, told.part("matching parts"))
    notes = [*_notes(a), *_notes(b)]
    return _conclude(a.name, b.name, surveys, common.count, common.by, parts, notes, stage)


def _token_views(x: OpenModel, y: OpenModel, frames: Sequence[Frames]) -> list[TokenView]:
    """How parts of the two are seen."""
    afford = budget(x.dims, y.dims)
    projection = token_projection([f.X for f in frames], afford.r)
    return [token_view(f.X, f.read, projection, afford.kept) for f in frames]


def survey_over(a: Side, b: Saved, stage: Stage | None = None) -> Surveyed:
    """Survey the model of ``a`` over the tokens of a saved fingerprint.

    The result serves every fingerprint over the same tokens (Saved.basis). Raises InputError when
    the model lacks too many of the tokens.
    """
    x = a.opened
    ids = ids_in(x.model, x.dims.vocab, b.tokens)
    told = _Told(stage, x.dims.layers)
    found = survey(
        x, frames_of(x, ids, b.tokens.sizes, b.seed), None, told.part(f"reading {a.name}")
    )
    by = "number" if b.tokens.texts is None or x.model.vocabulary() is None else "text"
    return Surveyed(b.basis, found, int((ids[: b.tokens.sizes[0]] != MISSING).sum()), by)


def compare_surveyed(a: Side, surveyed: Surveyed, b: Saved) -> Comparison:
    """A model, surveyed over the tokens of ``b`` or of another over the same, against ``b``."""
    if surveyed.basis != b.basis:
        raise ValueError("surveyed over other tokens than those of the fingerprint")
    both = [surveyed.survey, b.survey]
    return _conclude(a.name, b.name, both, surveyed.found, surveyed.by, None, _notes(a), None)


def _of_saved(x: Saved, y: Saved) -> Comparison:
    if not same_tokens(x, y):
        raise InputError(
            f"{x.name} and {y.name} were fingerprinted over different tokens; "
            "give one of the two as a model, so that its tokens can be matched to the other's"
        )
    by = "number" if x.tokens.texts is None or y.tokens.texts is None else "text"
    both = [x.survey, y.survey]
    return _conclude(x.name, y.name, both, x.tokens.sizes[0], by, None, [], None)


def same_tokens(x: Saved, y: Saved) -> bool:
    """Whether two saved fingerprints can be compared: same tokens, by text if known, same signs."""
    if (x.seed, x.tokens.sizes) != (y.seed, y.tokens.sizes):
        return False
    if x.tokens.texts is not None and y.tokens.texts is not None:
        return x.tokens.texts == y.tokens.texts
    return bool(np.array_equal(x.tokens.ids, y.tokens.ids))


def _conclude(
    a: str,
    b: str,
    surveys: Sequence[Survey],
    tokens: int,
    by: str,
    parts: Parts | None,
    notes: Sequence[str],
    stage: Stage | None,
) -> Comparison:
    if stage is not None:
        stage("judging", 0, 1)
    x, y = surveys
    seen = sights(x, y)
    layers, matched = layers_view(seen)
    views = [whole_view(seen), layers, no_tokens_view(x.gram, y.gram)]
    if parts is not None:
        views.append(parts_view(parts))
    judged, verdict = judge(views)
    pcs = parameter_cosine(x.parameters, y.parameters, matched.pairs)
    return Comparison(
        a=a,
        b=b,
        tokens=tokens,
        tokens_by=by,
        views=tuple(judged),
        verdict=verdict,
        layers=matched,
        pcs=pcs,
        rearranged=verdict.word == RELATED and pcs is not None and _ics(matched) > pcs + REARRANGED,
        parts=parts,
        findings=() if parts is None else tuple(what_happened(parts)),
        notes=tuple(dict.fromkeys([*notes, *([BY_NUMBER] if by == "number" else [])])),
    )


def _ics(layers: LayerMap) -> float:
    """Mean over matched layers and terms."""
    return float(np.mean([layers.matrix[pair].mean() for pair in layers.pairs] or [0.0]))


def _notes(side: Side) -> list[str]:
    return list(getattr(side.model, "notes", ()))


class _Told:
    """Progress over the layers of both models, as one count: so that the time left is known."""

    def __init__(self, stage: Stage | None, total: int):
        self._stage, self._total, self._done = stage, total, 0

    def part(self, what: str) -> Progress:
        """Progress of one of the parts, which are heard one after the other; what comes after all
        layers counts as they do."""
        before = self._done

        def heard(done: int, total: int) -> None:
            self._done = before + done
            if self._stage is not None:
                self._stage(what, self._done, max(self._total, before + total))

        return heard
