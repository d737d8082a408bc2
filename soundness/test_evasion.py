"""Evading the public seed: why a verifier names a seed of its own."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from safetensors.numpy import load_file

from huref_zk.circuit import keys
from huref_zk.invariants.sketch import PUBLIC_SEED, ics
from huref_zk.models.load import EMBEDDED
from huref_zk.proofs.kernel import Policy, Setup
from huref_zk.proofs.picture.file import serialise_bundle
from huref_zk.proofs.picture.prove import prove
from huref_zk.proofs.picture.verify import verify_bytes
from huref_zk.proofs.prepare import fingerprint_vector, prepare, sketch_of
from huref_zk.render import load_generator, render
from huref_zk.render.metrics import ms_ssim, thumbnail, thumbnail_difference
from huref_zk.srs.trust import find_srs
from soundness.evasion import jittered, relative_change, tuned, write_folder
from soundness.record import control, refusal
from tests.support.chain import write_owner

BUDGET = 0.0099  # of the norm of all weights
FRESH = bytes(range(32))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """(base, evader, jittered), prepared, and the evader's folder: demo-base, and changes of it of
    less than 1 %."""
    folder = tmp_path_factory.mktemp("evasion")
    source = EMBEDDED["demo-base"]
    before = {n: t.astype(np.float32) for n, t in load_file(source / "model.safetensors").items()}
    base = prepare("demo-base")
    config = json.loads((source / "config.json").read_text())
    evading = tuned(before, config, base.cores.token_ids, PUBLIC_SEED, BUDGET)
    moved = jittered(before, evading, np.random.default_rng(0))
    for name, tensors in (("evader", evading), ("jittered", moved)):
        assert relative_change(before, tensors) < 0.01
        write_folder(folder / name, source, tensors)
    evader = str(folder / "evader")
    return base, prepare(evader), prepare(str(folder / "jittered")), evader


def likeness(a, b, seed: bytes) -> float:
    return ics(sketch_of(a, seed), sketch_of(b, seed))


def distances(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """How different two pictures look: CIEDE2000 of thumbnails, and one minus MS-SSIM."""
    colour = float(thumbnail_difference(thumbnail(a), thumbnail(b)))
    return {"colour": colour, "structure": 1 - ms_ssim(a, b)}


def vector(prepared, seed: bytes) -> list[int]:
    return fingerprint_vector(prepared.quantised, prepared.shape, seed)


def cosine(a, b) -> float:
    x, y = (np.array(v, dtype=np.float64) for v in (a, b))
    return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))


def test_tuned_weights_escape_the_seed_they_were_tuned_to(models):
    base, evader, moved, _ = models
    assert likeness(base, evader, PUBLIC_SEED) < 0.1
    assert likeness(base, moved, PUBLIC_SEED) > 0.99  # as large a change, but not aimed


@pytest.mark.parametrize("seed", [FRESH, bytes(32), b"\xff" * 32], ids=["a", "b", "c"])
def test_they_do_not_escape_a_seed_they_have_not_seen(models, seed):
    base, evader, _, _ = models
    assert likeness(base, evader, seed) > 0.95


def test_the_evading_picture_is_a_strangers(models):
    base, evader, moved, _ = models
    generator = load_generator(None)
    pictures = [
        render(vector(p, PUBLIC_SEED), generator)
        for p in (base, evader, moved, prepare("demo-child"), prepare("demo-stranger"))
    ]
    to_evader, to_jittered, to_child, to_stranger = (
        distances(pictures[0], other) for other in pictures[1:]
    )
    for metric, far in to_stranger.items():
        assert to_evader[metric] > to_child[metric], metric
        assert to_evader[metric] > 0.5 * far, metric
        assert to_jittered[metric] < to_child[metric], metric


@pytest.mark.heavy
@pytest.mark.attack(
    "weights tuned by gradient descent to the public seed, and proven under it",
    control="the same weights proven under the seed that the verifier names",
)
def test_a_challenge_finds_what_the_public_seed_does_not(models, tmp_path):
    """One commitment, two proofs: under the public seed a stranger, under a fresh one kin."""
    base, evader, _, ref = models
    srs = find_srs(evader.shape.k, tmp_path, make_test=True)
    keys.derive(evader.shape, srs, tmp_path)
    owner = write_owner(tmp_path / "owner", ref, evader, os.urandom(32), srs)
    generator = load_generator(None)
    proofs = {seed: prove(owner, seed, srs, tmp_path, generator) for seed in (PUBLIC_SEED, FRESH)}

    def judge(seed: bytes, demanded: bytes) -> None:
        bundle, pixels = proofs[seed]
        verify_bytes(
            serialise_bundle(bundle),
            owner.commitment.root_hex,
            Setup(tmp_path, allow_test=True),
            Policy(seed=demanded),
            generator,
            pixels,
        )

    judge(PUBLIC_SEED, PUBLIC_SEED)  # the evasion is an honest proof: nothing else can refuse it
    with refusal("policy", "proven under seed"):
        judge(PUBLIC_SEED, FRESH)
    with control():
        judge(FRESH, FRESH)
    likeness_of = {s: cosine(vector(base, s), bundle.v) for s, (bundle, _) in proofs.items()}
    assert likeness_of[PUBLIC_SEED] < 0.15
    assert likeness_of[FRESH] > 0.9
