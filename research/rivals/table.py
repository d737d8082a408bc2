"""All rivals, each as one entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from research.rivals import awm, ghostspec, huref, independence, mdir, reef, subspace
from research.rivals.subject import Subject


@dataclass(frozen=True)
class Rival:
    """A fingerprint. access: what it needs of the suspect; prepare: what is kept of one model;
    score(base's, suspect's): the higher, the likelier kin; None where it cannot be applied."""

    name: str
    source: str
    access: str
    prepare: Callable[[Subject], Any]
    score: Callable[[Any, Any], float | None]


RIVALS: tuple[Rival, ...] = (
    Rival(
        "HuRef ICS",
        "arXiv 2312.04828",
        "weights of two layers",
        huref.itself,
        huref.official_ics,
    ),
    Rival("HuRef PCS", "arXiv 2312.04828", "weights", huref.itself, huref.pcs),
    Rival("AWM", "arXiv 2510.06738", "embeddings, queries and keys", awm.weights, awm.score),
    Rival(
        "REEF", "arXiv 2410.14273", "activations on chosen texts", reef.representations, reef.score
    ),
    Rival("GhostSpec", "arXiv 2511.06390", "attention weights", ghostspec.spectra, ghostspec.score),
    Rival("MDIR", "arXiv 2508.06309", "embeddings", mdir.embeddings, mdir.score),
    Rival("Procrustes", "as MDIR, any rotation", "embeddings", mdir.embeddings, mdir.procrustes),
    Rival(
        "logit subspace", "arXiv 2407.01235", "logits of prompts", subspace.outputs, subspace.score
    ),
    Rival(
        "phi_MATCH",
        "arXiv 2502.12292",
        "activations inside gated blocks",
        independence.activations,
        independence.score,
    ),
)
