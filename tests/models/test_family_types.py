"""Every decoder type of transformers: read right, or refused with a reason.

Of each known type a tiny model of transformers' own class is saved and read back. The cores of a
layer are what its modules compute (tests/support/black_box.py looks at no weight), and rewritings
that keep the model's function, which is asked, do not move them.
"""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from huref_zk.errors import InputError
from huref_zk.invariants.canonical import layer_pair
from huref_zk.invariants.cores import Tokens, layer_cores
from huref_zk.invariants.recipes import compute_cores, token_rows
from huref_zk.invariants.sketch import exact_ics_of
from huref_zk.models.families import FAMILIES, family_for, family_of
from huref_zk.models.families.refusals import REFUSALS
from huref_zk.models.heads import read_heads
from huref_zk.models.layers import dimensions, read_attention_grouped
from huref_zk.models.load import open_model
from tests.support.black_box import attention_cores, capturing, ffn_core, joined
from tests.support.family_models import CASES
from tests.support.random_llm import MemoryModel
from tests.support.type_cases import COMPOSED, TYPES
from tests.support.type_rewrites import even_gains, rotation, shifted, turned
from tests.support.typed_models import build, composed, config_of, place_of, saved

IDS = np.arange(20, 44)
SAME = 0.9999
PAGE = Path(__file__).parents[2] / "docs" / "families.md"


def known() -> set[str]:
    return {t for f in FAMILIES for t in f.model_types if not f.refused}


def causal_types() -> set[str]:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def test_every_causal_type_is_known_or_refused_with_a_reason():
    types = causal_types()
    assert len(types) > 150
    assert types - known() - set(COMPOSED) - set(REFUSALS) == set()
    assert (known() | set(COMPOSED)) & set(REFUSALS) == set()
    for name, reason in REFUSALS.items():
        with pytest.raises(InputError) as told:
            family_of({"model_type": name})
        assert reason in str(told.value) and len(reason) > 30 and "\n" not in reason
    with pytest.raises(InputError, match="'unheard_of' is not supported; `huref-zk models`"):
        family_of({"model_type": "unheard_of"})


def test_every_known_type_has_a_case():
    tried = {name.split(",")[0] for name in TYPES} | {c.model_type for c in CASES.values()}
    remote = {"RefinedWeb", "RefinedWebModel", "kimi_k2"}
    remote |= {c.remote[0]["model_type"] for c in CASES.values() if c.remote}
    assert known() - remote - tried - set(COMPOSED) - set(COMPOSED.values()) == set()
    count = len(causal_types() & (known() | set(COMPOSED)))
    assert count >= 120 and f" {count} are read" in " ".join(PAGE.read_text("utf-8").split())


@functools.cache
def opened(name: str):
    """(case, transformers model, the saved config and tensors, family, sizes)."""
    case, model_type = TYPES[name], name.split(",")[0]
    model = build(model_type, case)
    with tempfile.TemporaryDirectory() as folder:
        tensors = saved(model, Path(folder))
        config = config_of(Path(folder))
        read = open_model(folder)
        family = family_for(read)
        dims = dimensions(read, family)
    return case, model, config, tensors, family, dims


@pytest.mark.parametrize("name", TYPES)
def test_cores_are_what_the_modules_compute(name):
    case, model, config, tensors, family, dims = opened(name)
    memory = MemoryModel(config, tensors)
    X, read = token_rows(memory, family, IDS)
    Xc = X - X.mean(axis=0)
    found = layer_cores(memory, family, dims, case.layer, Tokens(Xc, read, read))
    Z = np.eye(dims.hidden) - 1 / dims.hidden if family.layer_norm else np.eye(dims.hidden)
    place, wide = place_of(model, case), Xc.astype(np.float64)
    wanted: list = [None, None, None]
    with capturing(model):
        if place.attention is not None:
            bare = family.attention_norm is None and not family.bare_norms
            fed = read if bare and not family.layer_norm else X
            parts = attention_cores(place, wide, fed)
            wanted[:2] = joined(*parts, wide, lambda C: Z @ C @ Z)
        if place.ffn:
            wanted[2] = ffn_core(place, wide, read, lambda C: Z @ C @ Z)
    assert any(core is not None for core in wanted)
    for term, core, expected in zip("abf", found, wanted, strict=True):
        if expected is None:
            assert not core.any() or case.borrows, term
            continue
        if case.scaled:
            expected = expected * (core * expected).sum() / np.square(expected).sum()
        error = np.linalg.norm(core - expected) / np.linalg.norm(expected)
        assert error < 2e-5, (term, error)


def logits(model, tensors=None) -> np.ndarray:
    ids = 3 + torch.arange(10).reshape(1, -1) * 7 % 90
    kept = None
    if tensors is not None:
        kept = {k: w.clone() for k, w in model.state_dict().items()}
        model.load_state_dict(tensors)
    with torch.no_grad():
        found = model(input_ids=ids, use_cache=False).logits.numpy()
    if kept is not None:
        model.load_state_dict(kept)
    return found


def off(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.abs(x - y).max() / np.abs(y).max())


@pytest.mark.parametrize("name", TYPES)
def test_the_stream_may_be_turned(name):
    """Rotated, or its dimensions in another order where a gain stands that no rotation passes."""
    case, model, config, tensors, family, dims = opened(name)
    rng, d = np.random.default_rng(4), dims.hidden
    R = rotation(d, rng, family.layer_norm) if case.rotates else np.eye(d)[rng.permutation(d)]
    inside = {k: w.numpy() for k, w in model.state_dict().items()}
    even = even_gains if case.rotates else (lambda t, d: dict(t))
    plain, after = even(inside, d), turned(even(inside, d), R, family.transposed)
    told = [
        logits(model, {k: torch.from_numpy(np.array(w)) for k, w in t.items()})
        for t in (plain, after)
    ]
    assert off(told[1], told[0]) < 1e-4
    base, other = even(tensors, d), turned(even(tensors, d), R, family.transposed)
    cores = [compute_cores(MemoryModel(config, t), tokens=64) for t in (base, other)]
    assert exact_ics_of(*cores)[list(case.terms)].min() >= SAME
    # Control: the embeddings alone.
    half = {**base, family.embedding: other[family.embedding]}
    far = compute_cores(MemoryModel(config, half), tokens=64)
    assert exact_ics_of(cores[0], far).min() < 0.9


@pytest.mark.parametrize("name", TYPES)
def test_gains_and_neurons_may_be_moved(name, tmp_path):
    """Read again by transformers, the checkpoint says the same; and so it does here."""
    from transformers import AutoModelForCausalLM

    case, model, config, tensors, family, dims = opened(name)
    memory = MemoryModel(config, tensors)
    base = compute_cores(memory, tokens=64)
    wanted = logits(model)
    for broken in (False, True):
        changed = shifted(
            memory, family, dims, tensors, np.random.default_rng(5), broken, case.readers
        )
        moved = any(not np.array_equal(changed[k], tensors[k]) for k in tensors)
        alike = exact_ics_of(base, compute_cores(MemoryModel(config, changed), tokens=64))
        if broken:
            gains = family.attention_norm is not None or family.ffn_norm is not None
            assert alike.min() < 0.999 or not gains
            continue
        assert moved or family.transposed
        assert alike[list(case.terms)].min() >= SAME
        folder = write(tmp_path, config, changed)
        again = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        assert off(logits(again), wanted) < 2e-3


def write(folder: Path, config: dict, tensors: dict[str, np.ndarray]) -> Path:
    from safetensors.numpy import save_file

    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def maps(left: np.ndarray, right: np.ndarray, heads: int, kv: int) -> np.ndarray:
    """(d, d): left_h^T right_h added up over heads, right repeated."""
    shape = (kv, heads // kv, -1, left.shape[1])
    return np.einsum("kghd,khe->de", left.reshape(shape), right.reshape(kv, -1, left.shape[1]))


@pytest.mark.parametrize("name", TYPES)
def test_heads_of_one_size(name):
    """What comparisons read: of every layer as many heads, as long; zeros without attention."""
    _case, _model, config, tensors, family, dims = opened(name)
    memory = MemoryModel(config, tensors)
    attends = 0
    for i in range(dims.layers):
        q, k, v, o = read_attention_grouped(memory, family, dims, i)
        narrow = (dims.kv_heads * dims.head_dim, dims.hidden)
        assert q.shape == o.T.shape == (dims.width, dims.hidden) and k.shape == v.shape == narrow
        found = read_heads(memory, family, dims, i)
        if found is None:
            assert not q.any() and not o.any()
            continue
        attends += 1
        sizes, own = (dims.heads, dims.kv_heads), (found.heads, found.kv)
        assert np.allclose(maps(q, k, *sizes), maps(found.q, found.k, *own), atol=1e-5)
        assert np.allclose(maps(o.T, v, *sizes), maps(found.o.T, found.v, *own), atol=1e-5)
        U, V, widths = layer_pair(memory, family, dims, i)
        assert np.isfinite(U).all() and U.shape[1] == V.shape[1] == sum(widths)
    assert attends > 0


@pytest.mark.parametrize("name", COMPOSED)
def test_images_and_text_by_the_text_part(name):
    config, tensors = composed(name, COMPOSED[name])
    memory = MemoryModel(config, tensors)
    family = family_for(memory)
    # A vision model of the same sizes is none of its business.
    assert "vision" not in family.embedding and "{i}" in family.o
    assert family.name == family_of({**config["text_config"], "model_type": COMPOSED[name]}).name
    cores = compute_cores(memory, tokens=64)
    assert cores.facts["hidden_size"] == 32 and cores.layer_ids == (0, 1)
    assert all(np.abs(core).max() > 0 for core in cores.sets[0])
