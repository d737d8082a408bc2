from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.render import generator as module
from huref_zk.render import load_generator
from huref_zk.render.config import EMBEDDED_CONFIG, HUREF_CONFIG, RenderConfig
from huref_zk.render.generator import build_generator
from huref_zk.render.tensors_file import read_safetensors, write_safetensors


def test_safetensors_and_memory_give_one_digest(tmp_path: Path, small_params) -> None:
    params = small_params()
    path = tmp_path / "g.safetensors"
    write_safetensors(path, params, {"conv_clamp": "256", "lr_multiplier": "0.02"})
    got = load_generator(path)
    expected = build_generator(params, conv_clamp=256, lr_multiplier=0.02)
    assert got.digest == expected.digest
    wide = {name: value.astype(np.float32) for name, value in params.items()}
    assert build_generator(wide, conv_clamp=256, lr_multiplier=0.02).digest == expected.digest
    assert (got.z_dim, got.w_dim, got.resolution, got.channels) == (8, 7, 16, (6, 5, 4))
    assert (got.c_dim, got.mapping_layers, got.num_ws) == (0, 2, 6)
    assert got.default_config == HUREF_CONFIG and not got.embedded
    with pytest.raises(ValueError, match="read-only"):
        got.params["mapping.w_avg"][0] = 1


def test_the_digest_covers_whatever_moves_a_pixel(small_params) -> None:
    params = small_params()
    digests = {build_generator(params).digest}
    digests.add(build_generator(params, conv_clamp=256).digest)
    digests.add(build_generator(params, lr_multiplier=0.02).digest)
    digests.add(build_generator(small_params(mapping_layers=3)).digest)
    for name in params:
        if name.endswith("resample_filter"):
            continue
        changed = params[name].copy()
        changed.flat[0] += 0.5
        digests.add(build_generator(params | {name: changed}).digest)
    layers = len([n for n in params if not n.endswith("resample_filter")])
    assert len(digests) == layers + 4


def test_absent_noise_is_noise_of_strength_zero(small_params) -> None:
    params = small_params()
    zero = {k: v * (not k.endswith("noise_strength")) for k, v in params.items()}
    without = {k: v for k, v in params.items() if "noise" not in k and "filter" not in k}
    assert build_generator(zero).digest == build_generator(without).digest
    assert build_generator(zero).digest != build_generator(params).digest


def changed_params(params: dict, name: str, value) -> dict:
    out = dict(params)
    if value is None:
        del out[name]
    else:
        out[name] = value
    return out


F = np.float32
BROKEN = {
    "missing": (
        "synthesis.b8.conv0.affine.bias",
        None,
        r"lacks synthesis\.b8\.conv0\.affine\.bias",
    ),
    "missing block": ("synthesis.b4.conv1.weight", None, r"lacks parameter synthesis\.b4"),
    "unknown": ("synthesis.b8.skip.weight", np.zeros(1, F), "which a StyleGAN2 skip"),
    "class labels": ("mapping.embed.weight", np.zeros((7, 3), F), "class label"),
    "shape": ("synthesis.b8.torgb.weight", np.zeros((4, 5, 1, 1), F), "expected"),
    "rank": ("mapping.fc0.weight", np.zeros(9, F), "expected 2 axes"),
    "integers": ("mapping.fc0.bias", np.zeros(7, np.int64), "int64"),
    "float64": ("mapping.fc0.bias", np.zeros(7), "float64"),
    "nan": ("mapping.fc0.bias", np.full(7, np.nan, F), "not finite"),
    "infinite": ("synthesis.b4.const", np.full((6, 4, 4), np.inf, F), "not finite"),
    "filter": ("synthesis.b8.resample_filter", np.ones((4, 4), F) / 16, r"\[1, 3, 3, 1\]"),
    "half a noise": ("synthesis.b8.conv0.noise_const", None, "noise_const"),
    "block 12": ("synthesis.b12.conv1.weight", np.zeros((1, 1, 3, 3), F), "blocks are"),
    "block 2048": ("synthesis.b2048.conv1.weight", np.zeros((1, 1, 3, 3), F), "blocks are"),
    "mapping gap": ("mapping.fc5.bias", np.zeros(7, F), "mapping layers are"),
    "wide": ("synthesis.b4.conv1.weight", np.zeros((2000, 2, 3, 3), F), "2000 wide"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_generators_are_refused(small_params, kind: str) -> None:
    build_generator(small_params())  # control
    name, value, message = BROKEN[kind]
    with pytest.raises(InputError, match=message) as caught:
        build_generator(changed_params(small_params(), name, value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_gains_out_of_range_are_refused(small_params, value: float) -> None:
    with pytest.raises(InputError, match="conv_clamp"):
        build_generator(small_params(), conv_clamp=value)
    with pytest.raises(InputError, match="lr_multiplier"):
        build_generator(small_params(), lr_multiplier=value)


def test_files_that_are_no_generator(tmp_path: Path, small_params) -> None:
    with pytest.raises(InputError, match="no such"):
        load_generator(tmp_path / "none.pkl")
    other = tmp_path / "g.zip"
    other.write_bytes(b"PK")
    with pytest.raises(InputError, match=r"\.pkl or \.safetensors"):
        load_generator(other)
    path = tmp_path / "g.safetensors"
    write_safetensors(path, small_params(), {"conv_clamp": "much"})
    with pytest.raises(InputError, match="conv_clamp is not a number"):
        load_generator(path)
    write_safetensors(path, {"a.weight": np.zeros(3, F)}, {})
    with pytest.raises(InputError, match="not a StyleGAN2 generator"):
        load_generator(path)


def test_a_missing_embedded_generator_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EMBEDDED_PATH", Path("/none/generator.safetensors"))
    module._embedded.cache_clear()
    try:
        with pytest.raises(EnvironmentLacks, match="embedded generator"):
            load_generator()
    finally:
        module._embedded.cache_clear()


def test_config_bounds() -> None:
    assert EMBEDDED_CONFIG.describe() == {
        "arithmetic": 1,
        "psi_percent": 100,
        "cutoff": None,
        "noise": "const",
    }
    assert RenderConfig(psi_percent=50).psi == 0.5
    for bad in ({"psi_percent": 101}, {"psi_percent": 0.5}, {"cutoff": -1}, {"noise": "random"}):
        with pytest.raises(InputError):
            RenderConfig(**bad)  # type: ignore[arg-type]


# The safetensors file itself


def file_of(header: object, body: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + body


def entry(dtype: object = "F32", shape: object = (1,), offsets: object = (0, 4)) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


FOUR = bytes(4)
BAD_FILES = {
    "empty": b"",
    "short": b"\0" * 7,
    "long header": file_of({}, length=2**63),
    "header beyond the file": file_of({}, length=50),
    "not json": file_of(b"{"),
    "deep json": file_of(b"[" * 100_000),
    "long number": file_of(b'{"a":' + b"9" * 100_000 + b"}"),
    "a list": file_of([]),
    "duplicate": file_of(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":0}', FOUR),
    "metadata": file_of({"__metadata__": {"a": 1}}),
    "entry": file_of({"a": [1]}, FOUR),
    "extra key": file_of({"a": entry() | {"x": 1}}, FOUR),
    "dtype": file_of({"a": entry("I64", (1,), (0, 8))}, FOUR * 2),
    "dtype type": file_of({"a": entry({"x": 1})}, FOUR),
    "negative": file_of({"a": entry(shape=(-1,), offsets=(4, 0))}, FOUR),
    "float shape": file_of({"a": entry(shape=(1.0,))}, FOUR),
    "bool shape": file_of({"a": entry(shape=(True,))}, FOUR),
    "shape no list": file_of({"a": entry(shape="1")}, FOUR),
    "huge shape": file_of({"a": entry(shape=(2**29, 2**29))}, FOUR),
    "many axes": file_of({"a": entry(shape=(1,) * 99)}, FOUR),
    "size": file_of({"a": entry(shape=(2,))}, FOUR * 2),
    "cut off": file_of({"a": entry()}, b"\0"),
    "gap": file_of({"a": entry(offsets=(4, 8))}, FOUR * 2),
    "overlap": file_of({"a": entry(), "b": entry()}, FOUR),
    "trailing": file_of({"a": entry()}, FOUR * 2),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_malformed_files_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "g.safetensors"
    path.write_bytes(file_of({"a": entry()}, FOUR))
    assert read_safetensors(path)[0]["a"].tolist() == [0]  # control
    path.write_bytes(BAD_FILES[kind])
    with pytest.raises(InputError, match=r"g\.safetensors"):
        read_safetensors(path)


def test_written_files_are_read_by_the_safetensors_package(tmp_path: Path, small_params) -> None:
    import safetensors.numpy as safetensors

    path = tmp_path / "g.safetensors"
    write_safetensors(path, small_params(), {"a": "b"})
    theirs = safetensors.load_file(path)
    ours, metadata = read_safetensors(path)
    assert metadata == {"a": "b"} and theirs.keys() == ours.keys() == small_params().keys()
    assert all(np.array_equal(theirs[k], ours[k]) for k in ours)
    safetensors.save_file(small_params(), tmp_path / "h.safetensors", {"c": "d"})
    assert read_safetensors(tmp_path / "h.safetensors")[1] == {"c": "d"}
