"""Quantised checkpoints: decoded exactly, and the same model as in full precision."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from huref_zk.errors import InputError
from huref_zk.invariants.recipes import compute_cores
from huref_zk.invariants.sketch import PUBLIC_SEED, ics, sketch
from huref_zk.models.formats.bits import unpack
from huref_zk.models.load import EMBEDDED, open_model
from tests.support import quantised as q
from tests.support.tiny_llama import HIDDEN, cores, edit_json, refused

WEIGHTS = "model.safetensors"
COMPRESSED = {"quant_method": "compressed-tensors"}
INT4 = {"config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int"}}}}
INT8 = {"config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "int"}}}}
GPTQ = {"quant_method": "gptq", "group_size": 32}
BLOCKS = {"quant_method": "fp8", "weight_block_size": [32, 32]}
# name: (encoder, quantization_config, least likeness to the model in full precision, whose weights
# are random: three bits of mantissa turn a product of three such matrices by 0.9987)
FORMATS = {
    "fp8 blocks": (q.fp8_blocks, BLOCKS, 0.998),
    "fp8 rows": (q.fp8_rows, {**COMPRESSED, "format": "float-quantized"}, 0.998),
    "fp8 whole": (q.fp8_whole, {"quant_method": "modelopt", "quant_algo": "FP8"}, 0.998),
    "fbgemm": (q.fp8_rows, {"quant_method": "fbgemm_fp8"}, 0.998),
    "int8 rows": (q.int8_rows, {**COMPRESSED, "format": "int-quantized", **INT8}, 0.999),
    "packed 4": (q.packed, {**COMPRESSED, "format": "pack-quantized", **INT4}, 0.98),
    "packed 4, zeros": (
        partial(q.packed, zeros=True),
        {**COMPRESSED, "format": "pack-quantized", **INT4},
        0.98,
    ),
    "packed 8": (
        partial(q.packed, bits=8),
        {**COMPRESSED, "format": "pack-quantized", **INT8},
        0.999,
    ),
    "gptq 4": (q.gptq, {**GPTQ, "bits": 4}, 0.98),
    "gptq 8": (partial(q.gptq, bits=8), {**GPTQ, "bits": 8}, 0.999),
    "gptq 2": (partial(q.gptq, bits=2), {**GPTQ, "bits": 2}, 0.5),
    "gptq, in order of use": (partial(q.gptq, shuffle=True), {**GPTQ, "bits": 4}, 0.98),
    "gptq v2": (partial(q.gptq, less=0), {**GPTQ, "bits": 4, "checkpoint_format": "gptq_v2"}, 0.98),
    "awq": (q.awq, {"quant_method": "awq", "bits": 4, "version": "gemm"}, 0.98),
    "nf4": (q.nf4, {"quant_method": "bitsandbytes", "load_in_4bit": True}, 0.97),
    "nf4 nested": (
        partial(q.nf4, nested=True),
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        0.98,
    ),
    "bnb int8": (q.bnb_int8, {"quant_method": "bitsandbytes", "load_in_8bit": True}, 0.999),
    "nvfp4": (q.nvfp4, {**COMPRESSED, "format": "nvfp4-pack-quantized"}, 0.97),
    "nvfp4 of ModelOpt": (partial(q.nvfp4, modelopt=True), {"quant_method": "modelopt"}, 0.97),
    "mlx 4": (q.mlx, {"mlx": {"group_size": 32, "bits": 4}}, 0.97),
    "mlx 8": (partial(q.mlx, bits=8), {"mlx": {"group_size": 32, "bits": 8}}, 0.999),
    "mlx 6": (partial(q.mlx, bits=6), {"mlx": {"group_size": 32, "bits": 6}}, 0.998),
    "mlx 3": (partial(q.mlx, bits=3), {"mlx": {"group_size": 32, "bits": 3}}, 0.9),
}


def quantise(folder: Path, name: str) -> dict[str, np.ndarray]:
    """Quantise a folder's linear maps; what each decodes to."""
    encode, config, _ = FORMATS[name]
    tensors, decoded = {}, {}
    for tensor, values in load_file(folder / WEIGHTS).items():
        embedding = "embed_tokens" in tensor and "mlx" in config
        if "_proj" in tensor or embedding:
            parts, decoded[tensor] = encode(tensor.removesuffix(".weight"), values)
            tensors |= parts
        else:
            tensors[tensor] = values
    q.save(folder / WEIGHTS, tensors)
    if "mlx" in config:
        edit_json(folder / "config.json", quantization=config["mlx"])
    else:
        edit_json(folder / "config.json", quantization_config=config)
    return decoded


@pytest.mark.parametrize("name", FORMATS)
def test_a_format(folder, saved, name):
    decoded = quantise(folder, name)
    model, plain = open_model(str(folder)), open_model(str(saved))
    assert set(model.names()) == set(plain.names())
    for tensor, expected in decoded.items():
        assert model.shape(tensor) == plain.shape(tensor)
        found = model.tensor(tensor)
        assert found.dtype == np.float32
        assert np.allclose(found, expected, rtol=2e-6, atol=1e-7), tensor
        some = np.array([5, 6, 7, 2, len(expected) - 1])
        assert np.array_equal(model.rows(tensor, some), found[some])
        kind, pieces = model.stored(tensor)
        assert kind == "F32" and b"".join(pieces) == found.astype("<f4").tobytes()
    form, exact = cores(folder), cores(saved)
    assert not [w for w in form.warnings if "not read" in w]
    likeness = ics(sketch(form, PUBLIC_SEED), sketch(exact, PUBLIC_SEED))
    assert FORMATS[name][2] <= likeness < 0.9999999


@pytest.fixture(scope="module")
def demo() -> tuple[Path, object]:
    """A model that was trained, and its sketch."""
    return EMBEDDED["demo-base"], sketch(compute_cores(open_model("demo-base")), PUBLIC_SEED)


@pytest.mark.parametrize(
    "name, least",
    [
        *((name, 0.999) for name in ("fp8 blocks", "fp8 rows", "int8 rows", "gptq 8", "mlx 8")),
        *((name, 0.98) for name in ("packed 4", "gptq 4", "awq", "nf4 nested", "mlx 4", "nvfp4")),
    ],
)
def test_a_trained_model_is_itself(demo, tmp_path, name, least):
    """What quantising costs a fingerprint, at eight bits and at four."""
    folder = Path(shutil.copytree(demo[0], tmp_path / "m"))
    tensors = {n: w.astype(np.float32) for n, w in load_file(folder / WEIGHTS).items()}
    q.save(folder / WEIGHTS, tensors)
    quantise(folder, name)
    likeness = ics(demo[1], sketch(compute_cores(open_model(str(folder))), PUBLIC_SEED))
    assert least <= likeness < 0.999999


def test_gpt_oss_in_mxfp4(tmp_path):
    """Experts of three axes, (experts, in, out)."""
    from tests.support import typed_models

    changes = {"layer_types": ["full_attention"] * 2, "intermediate_size": 32}
    case = typed_models.Type(config=changes)
    model = typed_models.build("gpt_oss", case)
    tensors = typed_models.saved(model, tmp_path / "hf")
    shutil.copytree(tmp_path / "hf", tmp_path / "mx")
    coded, decoded = {}, {}
    for name, values in tensors.items():
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            parts, decoded[name] = q.mxfp4(name, values)
            coded |= parts
        else:
            coded[name] = values
    assert len(decoded) == 4
    q.save(tmp_path / "mx" / WEIGHTS, coded)
    edit_json(tmp_path / "mx" / "config.json", quantization_config={"quant_method": "mxfp4"})
    found = open_model(str(tmp_path / "mx"))
    for name, expected in decoded.items():
        assert np.array_equal(found.tensor(name), expected)
        assert np.array_equal(found.rows(name, np.array([2, 1])), expected[[2, 1]])
    assert set(found.names()) == set(tensors)
    forms = [sketch(cores(tmp_path / n), PUBLIC_SEED) for n in ("hf", "mx")]
    assert 0.95 < ics(*forms) < 0.99999


def test_fp8_without_scales_is_a_float(folder, saved):
    tensors = load_file(folder / WEIGHTS)
    name = "model.layers.1.mlp.up_proj.weight"
    small = tensors[name].astype(q.F8)
    q.save(folder / WEIGHTS, {**tensors, name: small})
    assert np.array_equal(open_model(str(folder)).tensor(name), small.astype(np.float32))


def test_torch_decodes_fp8_alike():
    """The oracle for the types: torch's own."""
    codes = np.arange(256, dtype=np.uint8)
    theirs = torch.from_numpy(codes).view(torch.float8_e4m3fn).float().numpy()
    assert np.array_equal(codes.view(q.F8).astype(np.float32), theirs, equal_nan=True)


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
def test_unpacking(bits):
    codes = np.random.default_rng(bits).integers(0, 2**bits, (3, 64)).astype(np.uint8)
    assert np.array_equal(unpack(q.words(codes, bits), bits), codes)


def damage(name: str, part: str, alter):
    """``alter`` one part of one quantised weight."""

    def apply(folder: Path) -> None:
        from safetensors.torch import load_file as load
        from safetensors.torch import save_file

        tensors = load(folder / WEIGHTS)
        stem = "model.layers.2.mlp.up_proj."
        key = stem + part
        new = alter(tensors[key])
        if new is None:
            del tensors[key]
        else:
            tensors[key] = new.contiguous()
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})

    return pytest.param(name, apply, id=f"{name}, {part}")


def state(**changes):
    def alter(data):
        told = {**json.loads(bytes(data.numpy().tobytes())), **changes}
        return torch.frombuffer(bytearray(json.dumps(told).encode()), dtype=torch.uint8)

    return alter


NF4_STATE = "weight.quant_state.bitsandbytes__nf4"


@pytest.mark.parametrize(
    "name, apply",
    [
        damage("fp8 blocks", "weight_scale_inv", lambda t: t[:-1]),
        damage("fp8 blocks", "weight_scale_inv", lambda t: t.T),
        damage("fp8 rows", "weight_scale", lambda t: t[:-1]),
        damage("int8 rows", "weight_scale", lambda t: None),
        damage("packed 4", "weight_scale", lambda t: None),
        damage("packed 4", "weight_shape", lambda t: t * 1000),
        damage("packed 4", "weight_shape", lambda t: -t),
        damage("packed 4", "weight_shape", lambda t: None),
        damage("packed 4", "weight_packed", lambda t: t[:, :-1]),
        damage("packed 4, zeros", "weight_zero_point", lambda t: t[:-1]),
        damage("gptq 4", "qzeros", lambda t: t[:, :-1]),
        damage("gptq 4", "scales", lambda t: t[:-1]),
        damage("gptq 4", "g_idx", lambda t: t + 100),
        damage("gptq 4", "g_idx", lambda t: t - 100),
        damage("gptq 4", "qweight", lambda t: t.float()),
        damage("awq", "scales", lambda t: t[:, :-8]),
        damage("awq", "qzeros", lambda t: t[:-1]),
        damage("mlx 4", "scales", lambda t: t[:, :-1]),
        damage("mlx 4", "biases", lambda t: None),
        damage("nf4", "weight.absmax", lambda t: t[:-1]),
        damage("nf4", "weight.quant_map", lambda t: t[:-1]),
        damage("nf4", NF4_STATE, lambda t: t[:-1]),
        damage("nf4", NF4_STATE, state(shape=[1 << 30, 1 << 30])),
        damage("nf4", NF4_STATE, state(shape=[1 << 30, 1 << 30], blocksize=2)),
        damage("nf4", NF4_STATE, state(blocksize=0)),
        damage("nf4", NF4_STATE, state(blocksize=7)),
        damage("nf4", NF4_STATE, state(shape="big")),
        damage("nf4 nested", "weight.nested_absmax", lambda t: t[:-1]),
        damage("nf4 nested", NF4_STATE, state(nested_blocksize=-1)),
        damage("bnb int8", "SCB", lambda t: t[:-1]),
        damage("nvfp4", "weight_scale", lambda t: t[:, :-1]),
        damage("nvfp4", "weight_global_scale", lambda t: None),
    ],
)
def test_parts_that_do_not_fit_are_refused(folder, name, apply):
    quantise(folder, name)
    cores(folder)
    apply(folder)
    refused(
        "fit|missing|senseless|no scale|no shape|no JSON|another order|has shape|claims", folder
    )


@pytest.mark.parametrize(
    "config, message",
    [
        ({"quant_method": "exl2"}, "quantised as exl2, which is not read; read are FP8"),
        ({"quant_method": "hqq"}, "quantised as hqq"),
        ({"quant_method": "torchao"}, "quantised as torchao"),
        ({"quant_method": "aqlm"}, "quantised as aqlm"),
        ({"quant_method": "awq", "version": "gemv"}, r"quantised as awq \(gemv\)"),
        ({"quant_method": "awq", "bits": 3}, "quantised to 3 bits"),
        ({"quant_method": "gptq", "bits": 3}, "quantised to 3 bits"),
        ({"quant_method": "gptq", "bits": "x" * 999}, "quantised to x"),
        ({"quant_method": "gptq", "bits": 4, "checkpoint_format": "marlin"}, r"gptq \(marlin\)"),
        ({**COMPRESSED, "format": "marlin-24"}, "compressed-tensors marlin-24"),
        ({**COMPRESSED, "transform_config": {"R1": 1}}, "with a transform of its own"),
        ({**COMPRESSED, "sparsity_config": {"format": "sparse-24"}}, "sparse-24"),
        ({}, "an unknown format"),
    ],
)
def test_formats_that_are_not_read_are_named(folder, config, message):
    cores(folder)
    edit_json(folder / "config.json", quantization_config=config)
    refused(message, folder)


@pytest.mark.parametrize("file", ["quantize_config.json", "quant_config.json"])
def test_a_config_in_a_file_of_its_own(folder, file):
    name = "gptq 4" if file.startswith("quantize") else "awq"
    decoded = quantise(folder, name)
    config = FORMATS[name][1]
    edit_json(folder / "config.json", quantization_config=...)
    refused("part of a quantised weight|is missing", folder)
    del config  # known by the file's name
    (folder / file).write_text(json.dumps({"bits": 4, "w_bit": 4, "q_group_size": 32}))
    model = open_model(str(folder))
    tensor, expected = next(iter(decoded.items()))
    assert np.allclose(model.tensor(tensor), expected, rtol=2e-6, atol=1e-7)


def test_only_what_is_asked_for_is_decoded(folder, monkeypatch):
    """Rows of a matrix cost rows, not the matrix."""
    from huref_zk.models.safetensors_store import SafetensorsStore

    quantise(folder, "mlx 4")
    model = open_model(str(folder))
    taken, plain = [], SafetensorsStore.raw

    def raw(self, name, start=0, stop=None):
        values = plain(self, name, start, stop)
        taken.append(values.nbytes)
        return values

    monkeypatch.setattr(SafetensorsStore, "raw", raw)
    model.rows("model.embed_tokens.weight", np.arange(3, 7))
    assert sum(taken) == 4 * (HIDDEN // 2 + 2 * 2 * HIDDEN // 32)


def test_a_weight_that_claims_too_much(folder):
    quantise(folder, "packed 4")
    with pytest.raises(InputError):
        open_model(str(folder)).shape("model.layers.0.mlp.no_proj.weight")
