"""GGUF files: a twin of the safetensors checkpoint, written with the gguf library, and a real one.

llama.cpp stores the rows of q and k in another order than transformers; the twin is written by its
rule, spelled out row by row below, and transformers' own reader of GGUF is asked as well.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from gguf import quants

from huref_zk.invariants.recipes import compute_cores
from huref_zk.invariants.sketch import PUBLIC_SEED, ics, sketch
from huref_zk.models.gguf_tokenizer import gguf_tokenizer
from huref_zk.models.load import open_model
from research.benchmarks.end_to_end import smollm2
from tests.support.gguf_files import LLAMA_NAMES as NAMES
from tests.support.gguf_files import interleaved, write_gguf
from tests.support.tiny_llama import (
    FFN,
    HEAD_DIM,
    HEADS,
    HIDDEN,
    KV_HEADS,
    LAYERS,
    VOCAB,
    cores,
    refused,
    same,
)

SPECIAL = (0, 1, 100)
NORMAL, CONTROL = 1, 3


def stored(llama) -> dict[str, np.ndarray]:
    """The model's tensors under GGUF names, as llama.cpp keeps them."""
    state = {n: t.detach().numpy() for n, t in llama.state_dict().items()}
    out = {"output.weight": state["lm_head.weight"]}
    for theirs, ours in NAMES.items():
        for i in range(LAYERS) if "{i}" in theirs else [0]:
            w = state[theirs.format(i=i)]
            if "q_proj" in theirs:
                w = interleaved(w, HEADS)
            if "k_proj" in theirs:
                w = interleaved(w, KV_HEADS)
            out[ours.format(i=i)] = w
    return out


def write(
    path: Path,
    tensors: dict[str, np.ndarray],
    kind: Kind = Kind.F32,
    drop=(),
    texts=None,
    tokenizer=None,
    more=None,
    **fields,
) -> Path:
    """A GGUF file of the tiny model; ``fields`` replace what its header says. texts: the tokens';
    tokenizer: further arrays under tokenizer.ggml."""
    says = {
        "block_count": LAYERS,
        "embedding_length": HIDDEN,
        "feed_forward_length": FFN,
        "attention.head_count": HEADS,
        "attention.head_count_kv": KV_HEADS,
        "context_length": 64,
        "rope.dimension_count": HEAD_DIM,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "rope.freq_base": 10000.0,
        **fields,
    }
    architecture = says.pop("architecture", "llama")
    return write_gguf(
        path,
        architecture,
        {key: value for key, value in says.items() if key not in drop},
        tensors,
        kind,
        texts=texts or [f"t{i}" for i in range(VOCAB)],
        types=[CONTROL if i in SPECIAL else NORMAL for i in range(VOCAB)],
        tokenizer=tokenizer,
        more=more,
    )


@pytest.fixture
def twin(llama, tmp_path) -> Path:
    return write(tmp_path / "twin.gguf", stored(llama))


def test_every_tensor_has_the_twins_values(llama, twin):
    model = open_model(str(twin))
    state = {n: t.numpy() for n, t in llama.state_dict().items() if n != "lm_head.weight"}
    assert len(state) == 2 + 9 * LAYERS
    for name, expected in state.items():
        assert model.shape(name) == expected.shape
        found = model.tensor(name)
        assert found.dtype == np.float32
        assert np.array_equal(found, expected), name
    ids = np.array([9, 3, 4, 127])
    name = "model.embed_tokens.weight"
    assert np.array_equal(model.rows(name, ids), state[name][ids])


def test_the_canonical_form_is_the_twins(twin, saved):
    """With the ids that the twin's tokenizer calls special left out in both."""
    ids = [i for i in range(VOCAB) if i not in SPECIAL][-64:]
    form = cores(twin)
    assert form.token_ids.tolist() == ids
    assert same(form, compute_cores(open_model(str(saved)), tokens=64, token_ids=ids))
    assert form.facts == cores(saved).facts


def test_transformers_reads_the_same_rows(llama, twin):
    """The oracle for the row order is transformers, which undoes llama.cpp's in its own way."""
    from transformers import LlamaForCausalLM
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    shell = LlamaForCausalLM(llama.config)
    theirs = load_gguf_checkpoint(str(twin), return_tensors=True, model_to_load=shell)["tensors"]
    ours = open_model(str(twin))
    for name, tensor in theirs.items():
        if name != "lm_head.weight":
            assert np.array_equal(ours.tensor(name), tensor.float().numpy()), name
    assert len(theirs) == 3 + 9 * LAYERS


@pytest.mark.parametrize("part, heads", [("attn_q", HEADS), ("attn_k", KV_HEADS)])
def test_the_row_order_matters(llama, twin, tmp_path, part, heads):
    """Control of the comparisons: stored in transformers' order, q or k comes out wrong."""
    tensors = stored(llama)
    name = f"blk.{LAYERS - 1}.{part}.weight"
    theirs = f"model.layers.{LAYERS - 1}.self_attn.{part[-1]}_proj.weight"
    tensors[name] = llama.state_dict()[theirs].numpy()
    assert np.array_equal(interleaved(tensors[name], heads), stored(llama)[name])
    wrong = write(tmp_path / "wrong.gguf", tensors)
    assert not same(cores(wrong), cores(twin))


@pytest.mark.parametrize(
    "kind, error", [(Kind.F16, 3e-4), (Kind.BF16, 3e-3), (Kind.Q8_0, 8e-3), (Kind.Q4_0, 0.12)]
)
def test_quantised_types(llama, tmp_path, saved, kind, error):
    path = write(tmp_path / "small.gguf", stored(llama), kind)
    ids = [i for i in range(VOCAB) if i not in SPECIAL][-64:]
    exact = compute_cores(open_model(str(saved)), tokens=64, token_ids=ids)
    form = cores(path)
    for x, y in zip((form.X, *form.sets), (exact.X, *exact.sets), strict=True):
        distance = np.linalg.norm(x - y) / np.linalg.norm(y)
        assert error / 10 < distance < 2 * error  # cores are products
    likeness = ics(sketch(form, PUBLIC_SEED), sketch(exact, PUBLIC_SEED))
    assert likeness > (0.94 if kind == Kind.Q4_0 else 0.9995)
    model = open_model(str(path))  # rows chosen before dequantising are the rows
    name, some = "model.embed_tokens.weight", np.array([4, 90, 5])
    assert np.array_equal(model.rows(name, some), model.tensor(name)[some])


def test_only_what_is_proven_is_dequantised(twin, monkeypatch):
    sizes = []
    plain = quants.dequantize

    def dequantize(data, kind):
        values = plain(data, kind)
        sizes.append(values.size)
        return values

    monkeypatch.setattr(quants, "dequantize", dequantize)
    cores(twin, "last-two")
    q, kv = HEADS * HEAD_DIM * HIDDEN, KV_HEADS * HEAD_DIM * HIDDEN
    layer = [HIDDEN, HIDDEN, q, kv, kv, q, FFN * HIDDEN, FFN * HIDDEN]
    assert set(sizes) == {64 * HIDDEN, *layer}
    assert len(sizes) <= 2 * (len(layer) + 1) + 1  # a norm of two blocks may be read twice


def change(name, value):
    return lambda tensors: tensors.update({name: value(tensors[name])})


LAST = f"blk.{LAYERS - 1}."


@pytest.mark.parametrize(
    "alter, message",
    [
        (lambda tensors: tensors.pop(LAST + "attn_q.weight"), "q_proj.weight is missing"),
        (lambda tensors: tensors.pop("token_embd.weight"), "embed_tokens.weight is missing"),
        (change(LAST + "ffn_up.weight", lambda w: w.T.copy()), "up_proj.weight has shape"),
        (change(LAST + "ffn_up.weight", lambda w: w * np.float32("nan")), "NaN or infinite"),
        (change(LAST + "ffn_norm.weight", lambda w: w.astype(np.int32)), "cannot dequantise"),
        (change("token_embd.weight", lambda w: w.ravel()), "embed_tokens.weight has shape"),
        (change("token_embd.weight", lambda w: w[:, :-1]), "embed_tokens.weight has shape"),
    ],
)
def test_tensors_that_are_refused(llama, twin, tmp_path, alter, message):
    tensors = stored(llama)
    assert same(cores(write(tmp_path / "good.gguf", tensors)), cores(twin))
    alter(tensors)
    refused(message, write(tmp_path / "bad.gguf", tensors))


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"architecture": "mamba"}, "architecture 'mamba' is not supported; `huref-zk models`"),
        ({"block_count": "four"}, "block_count is missing or no integer"),
        ({"drop": ("embedding_length",)}, "embedding_length is missing"),
        ({"embedding_length": 0}, "hidden_size = 0"),
        ({"embedding_length": (1 << 32) - 1}, "hidden_size = 4294967295"),
        ({"attention.head_count": 8}, "k_proj.weight has shape"),
        ({"attention.head_count_kv": 3}, "do not divide"),
        ({"attention.head_count_kv": 0}, "num_key_value_heads = 0"),
        ({"attention.key_length": 8}, "q_proj.weight has shape"),
        ({"feed_forward_length": FFN + 32}, "up_proj.weight has shape"),
        ({"block_count": 1000}, "is missing"),
    ],
)
def test_headers_that_are_refused(llama, twin, tmp_path, fields, message):
    same_key = {"attention.key_length": HEAD_DIM}
    assert same(cores(write(tmp_path / "good.gguf", stored(llama), **same_key)), cores(twin))
    refused(message, write(tmp_path / "bad.gguf", stored(llama), **fields))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:3],
        lambda data: data[:200],
        lambda data: data[: len(data) // 2],
        lambda data: b"GGJT" + data[4:],
        lambda data: data[:4] + b"\xff" * 4 + data[8:],
        lambda data: data[:8] + b"\xff" * 16 + data[24:],
        lambda data: data[:24] + b"\xff" * 200 + data[224:],
    ],
    ids=["empty", "magic", "header", "half", "kind", "version", "counts", "keys"],
)
def test_damaged_files(twin, damage):
    data, good = twin.read_bytes(), cores(twin)
    twin.write_bytes(damage(data))
    refused("is not a valid GGUF file", twin)
    twin.write_bytes(data)
    assert same(cores(twin), good)


def test_an_array_that_claims_more_than_the_file_has(twin):
    """The library alone would count to 2^60: found by the fuzzer."""
    data, good = twin.read_bytes(), cores(twin)
    key = b"tokenizer.ggml.token_type"
    count = data.index(key) + len(key) + 4 + 4  # behind two types, of the array and its entries
    assert int.from_bytes(data[count : count + 8], "little") == VOCAB
    twin.write_bytes(data[:count] + (1 << 60).to_bytes(8, "little") + data[count + 8 :])
    refused("is not a valid GGUF file.*ends early", twin)
    twin.write_bytes(data)
    assert same(cores(twin), good)


def test_more_entries_than_any_model_has(twin, monkeypatch):
    monkeypatch.setattr("huref_zk.models.gguf_reader.MAX_TEXTS", VOCAB - 1)
    refused("more than 127 texts", twin)
    monkeypatch.setattr("huref_zk.models.gguf_reader.MAX_TEXTS", VOCAB)
    cores(twin)


# --- the order of tokens ------------------------------------------------------------------------

ORDER = np.random.default_rng(3).permutation([i for i in range(VOCAB) if i not in SPECIAL]).tolist()
REGULAR = sorted(ORDER)


def named(texts: list[str]) -> list[str]:
    """A text for each id: the n-th of ``texts`` for the n-th of ORDER."""
    out = ["<s>"] * VOCAB
    for i, text in zip(ORDER, texts, strict=True):
        out[i] = text
    return out


XS = ["x" * (n + 1) for n in range(len(ORDER))]
MERGES = [f"{'x' * n} x" for n in range(1, len(ORDER))]
SCORES = [-float(ORDER.index(i)) if i in ORDER else 0.0 for i in range(VOCAB)]


@pytest.mark.parametrize(
    "tokenizer, order",
    [
        ({"merges": MERGES}, ORDER),
        ({"scores": SCORES}, ORDER),
        ({"merges": MERGES, "scores": [float(i) for i in range(VOCAB)]}, ORDER),
        ({"merges": ["no such"], "scores": SCORES}, ORDER),
        ({"merges": [3], "scores": SCORES}, ORDER),
        ({"scores": [-1000.0] * VOCAB}, REGULAR),  # as some converters write for want of any
        ({"scores": [3] * VOCAB, "merges": ["x y"]}, REGULAR),
        ({}, REGULAR),
    ],
)
def test_the_rarest_tokens_are_the_last_learnt(llama, tmp_path, tokenizer, order):
    path = write(tmp_path / "m.gguf", stored(llama), texts=named(XS), tokenizer=tokenizer)
    assert cores(path).token_ids.tolist() == order[-64:]


def test_characters_come_before_what_is_made_of_them(llama, tmp_path):
    """SentencePiece gives them the last ids and scores; by merges they come first."""
    texts = [f"made {n}" for n in range(len(ORDER) - 30)] + [chr(0x4E00 + n) for n in range(30)]
    path = write(
        tmp_path / "m.gguf", stored(llama), texts=named(texts), tokenizer={"scores": SCORES}
    )
    order = open_model(str(path)).token_order()
    assert order == (*ORDER[-30:], *ORDER[:-30])


@pytest.mark.parametrize("key", ["tokens", "token_type", "merges", "scores"])
def test_what_is_no_such_array_tells_nothing(key):
    """Of another type, or no array at all."""
    good = {"tokens": ["a", "b", "ab"], "token_type": [1, 1, 3], "scores": [-1.0, -2.0, -3.0]}
    good["merges"] = ["b a"]

    def told(fields):
        return gguf_tokenizer({f"tokenizer.ggml.{k}": v for k, v in fields.items()}.get)

    for odd in (3, "abc", [[3]], [None]):
        assert told({**good, key: odd}) == told({k: v for k, v in good.items() if k != key})


def test_texts_that_are_not_utf_8_are_refused(twin):
    data, good = twin.read_bytes(), cores(twin)
    assert data.count(b"t77") == 1
    twin.write_bytes(data.replace(b"t77", b"t\xff7"))
    refused("the key tokenizer.ggml.tokens is malformed", twin)
    twin.write_bytes(data)
    assert same(cores(twin), good)


def test_a_real_model(monkeypatch):
    """SmolLM2-135M-Instruct, quantised by others, of which only little is dequantised."""
    total = 0
    plain = quants.dequantize

    def dequantize(data, kind):
        nonlocal total
        values = plain(data, kind)
        total += values.size
        return values

    monkeypatch.setattr(quants, "dequantize", dequantize)
    model = open_model(smollm2())
    form = compute_cores(model, recipe="last-two", tokens=256, token_choice="rare")
    assert form.facts == {
        "architecture": "llama",
        "hidden_size": 576,
        "heads": 9,
        "kv_heads": 3,
        "head_dim": 64,
        "ffn": 1536,
        "layers_total": 30,
        "vocab_size": 49152,
    }
    assert form.layer_ids == (28, 29)
    assert form.token_ids.tolist() == list(range(49152 - 256, 49152))
    assert model.tokenizer_size() == 49152
    assert model.token_order() == tuple(range(17, 49152))  # by its merges, as by its ids
    assert model.special_ids() == set(range(17))  # <|endoftext|> to the last of its chat marks
    layer = 2 * 576 + 576 * (2 * 576 + 2 * 192 + 2 * 1536)
    assert total == pytest.approx(256 * 576 + 2 * layer, rel=1e-3)
    maps = sketch(form, PUBLIC_SEED)
    assert ics(maps, maps) == pytest.approx(1)
    lower = sketch(
        compute_cores(model, recipe="last-two", tokens=256, token_choice="rare", layers=(10, 11)),
        PUBLIC_SEED,
    )
    assert abs(ics(maps, lower)) < 0.5
