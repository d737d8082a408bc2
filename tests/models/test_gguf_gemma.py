"""Gemma 3 as GGUF: a twin of a transformers model, written by llama.cpp's rules.

llama.cpp keeps its q and k in the order they have, and adds one to every norm's weight.
"""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from huref_zk.invariants.recipes import compute_cores
from huref_zk.models.load import open_model
from tests.support.gguf_files import GEMMA3_NAMES
from tests.support.tiny_llama import same

VOCAB, LAYERS = 96, 2


@pytest.fixture(scope="module")
def gemma() -> Gemma3ForCausalLM:
    config = Gemma3TextConfig(
        vocab_size=VOCAB,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        pad_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = Gemma3ForCausalLM(config).eval()
        with torch.no_grad():
            for name, p in model.named_parameters():
                p.uniform_(-0.5, 0.5) if "norm" in name else p.normal_(0, 0.2)
    return model


def write(path, model, shift: float = 1.0):
    """The model as GGUF, its norms moved by ``shift``."""
    state = {n: t.detach().numpy() for n, t in model.state_dict().items()}
    writer = gguf.GGUFWriter(path, "gemma3")
    for key, value in {
        "block_count": LAYERS,
        "embedding_length": 32,
        "feed_forward_length": 48,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "attention.key_length": 16,
    }.items():
        writer.add_uint32(f"gemma3.{key}", value)
    writer.add_token_list([f"t{i}" for i in range(VOCAB)])
    writer.add_token_types([1] * VOCAB)
    for theirs, ours in GEMMA3_NAMES.items():
        for i in range(LAYERS) if "{i}" in theirs else [0]:
            values = state[theirs.format(i=i)]
            if "norm" in theirs:
                values = values + np.float32(shift)
            writer.add_tensor(ours.format(i=i), np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_every_tensor_is_the_twins(gemma, tmp_path):
    model = open_model(str(write(tmp_path / "twin.gguf", gemma)))
    state = {n: t.numpy() for n, t in gemma.state_dict().items() if n != "lm_head.weight"}
    assert len(state) == 2 + 13 * LAYERS == len(model.names())
    for name, expected in state.items():
        assert np.allclose(model.tensor(name), expected, atol=1e-6), name
    assert set(model.names()) == set(state)


def test_the_cores_are_the_folders(gemma, tmp_path):
    gemma.save_pretrained(tmp_path / "folder")
    ids = list(range(64))
    forms = [
        compute_cores(open_model(str(path)), tokens=64, token_ids=ids)
        for path in (tmp_path / "folder", write(tmp_path / "twin.gguf", gemma))
    ]
    folder, twin = forms
    for a, b in zip((folder.X, *folder.sets), (twin.X, *twin.sets), strict=True):
        assert np.allclose(a, b, atol=1e-4 * np.abs(a).max())
    # The control: norms as transformers keeps them would be another model.
    wrong = compute_cores(
        open_model(str(write(tmp_path / "wrong.gguf", gemma, 0.0))), tokens=64, token_ids=ids
    )
    assert not same(wrong, folder)
    assert not np.allclose(wrong.sets[0], folder.sets[0], atol=0.1 * np.abs(folder.sets[0]).max())
