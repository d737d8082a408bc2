"""Snapshots in the shape of NVIDIA's: read as data, and hostile ones refused without running."""

from __future__ import annotations

import collections
import io
import os
import pickle
import struct
import sys
import time
import tracemalloc
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from huref_zk.errors import InputError
from huref_zk.render.generator import build_generator, load_generator


@pytest.fixture
def nvidia_modules(monkeypatch: pytest.MonkeyPatch):
    """Stand-ins for the two modules of NVIDIA's whose names a snapshot holds."""
    persistence = types.ModuleType("torch_utils.persistence")
    util = types.ModuleType("dnnlib.util")

    def _reconstruct_persistent_obj(meta):
        raise AssertionError("a snapshot was executed")

    class EasyDict(dict):
        pass

    for module, thing in ((persistence, _reconstruct_persistent_obj), (util, EasyDict)):
        thing.__module__, thing.__qualname__ = module.__name__, thing.__name__
        setattr(module, thing.__name__, thing)
        monkeypatch.setitem(sys.modules, module.__name__.split(".")[0], types.ModuleType("x"))
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return types.SimpleNamespace(
        reconstruct=_reconstruct_persistent_obj, EasyDict=EasyDict, persistence=persistence
    )


class Persistent:
    """Pickles as NVIDIA's persistent objects do."""

    def __init__(self, nv, class_name: str, **attributes):
        self.nv, self.class_name = nv, class_name
        self.state = {
            "training": False,
            "_parameters": collections.OrderedDict(),
            "_buffers": collections.OrderedDict(),
            "_non_persistent_buffers_set": set(),
            "_backward_hooks": collections.OrderedDict(),
            "_modules": collections.OrderedDict(),
            "_init_args": (),
            "_init_kwargs": nv.EasyDict(attributes),
            **attributes,
        }

    def __reduce__(self):
        meta = {
            "type": "class",
            "version": 6,
            "module_src": "raise SystemExit('source of a class, to be ignored')\n",
            "class_name": self.class_name,
            "state": self.state,
        }
        return self.nv.reconstruct, (meta,), None


BUFFERS = ("w_avg", "noise_const", "resample_filter")


def network(nv, params: dict, conv_clamp: float | None = 256, **changes) -> Persistent:
    """The tree of persistent objects whose state dict is ``params`` (arrays or tensors)."""
    root = Persistent(nv, "Generator", z_dim=8, c_dim=0, w_dim=7, img_resolution=16)
    nodes = {"": root}

    def node(path: str) -> Persistent:
        if path not in nodes:
            above, _, name = path.rpartition(".")
            made = Persistent(nv, "Layer")
            if name.startswith(("conv", "torgb")):
                made.state["conv_clamp"] = conv_clamp
            if name.startswith("fc"):
                made.state |= {"activation": "lrelu", "bias_gain": 0.02, "weight_gain": 0.1}
            if name.startswith("b") and name[1:].isdigit():
                made.state["architecture"] = "skip"
            node(above).state["_modules"][name] = nodes[path] = made
        return nodes[path]

    for name, value in params.items():
        path, _, key = name.rpartition(".")
        tensor = value if torch.is_tensor(value) else torch.tensor(value)
        if key in BUFFERS:
            node(path).state["_buffers"][key] = tensor
        else:
            node(path).state["_parameters"][key] = torch.nn.Parameter(tensor)
    for path, state in changes.items():
        node(path.replace("__", ".")).state.update(state)
    return root


def snapshot(nv, generator, protocol: int = 4, **more) -> bytes:
    content = {
        "training_set_kwargs": nv.EasyDict(path="x.zip", resolution=16, n=np.float64(3)),
        "G": None,
        "D": Persistent(nv, "Discriminator", device=torch.device("cpu"), dtype=torch.float16),
        "G_ema": generator,
        **more,
    }
    return pickle.dumps(content, protocol)


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "snapshot.pkl"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_snapshot_is_read_whole(
    tmp_path, nvidia_modules, small_params, protocol: int, dtype: type
) -> None:
    params = {name: value.astype(dtype) for name, value in small_params().items()}
    data = snapshot(nvidia_modules, network(nvidia_modules, params), protocol)
    got = load_generator(write(tmp_path, data))
    expected = build_generator(params, conv_clamp=256, lr_multiplier=0.02)
    assert got.digest == expected.digest
    assert got.params.keys() == expected.params.keys()
    assert all(np.array_equal(got.params[k], v) for k, v in expected.params.items())
    assert (got.conv_clamp, got.lr_multiplier, got.resolution) == (256, 0.02, 16)
    assert got.digest != build_generator(params, conv_clamp=None, lr_multiplier=0.02).digest


def test_shared_and_strided_tensors_are_read(tmp_path, nvidia_modules, small_params) -> None:
    """Releases hold channels-last weights, and views into a larger storage."""
    params = small_params()
    tensors = {name: torch.tensor(value) for name, value in params.items()}
    name = "synthesis.b8.conv0.weight"
    tensors[name] = tensors[name].to(memory_format=torch.channels_last)
    bias = "synthesis.b8.conv0.bias"
    tensors[bias] = torch.cat([torch.ones(3).half(), tensors[bias], torch.ones(2).half()])[3:-2]
    assert not tensors[name].is_contiguous() and tensors[bias].storage_offset() == 3
    data = snapshot(nvidia_modules, network(nvidia_modules, tensors))
    expected = build_generator(params, conv_clamp=256, lr_multiplier=0.02)
    assert load_generator(write(tmp_path, data)).digest == expected.digest


class Call:
    """Pickles as a call of ``function``."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def expanded(count: int):
    """A tensor of ``count`` values over a storage of one."""
    return torch.zeros(1).expand(count)


class RawStorage:
    """A tensor whose storage is the byte string ``data``."""

    def __init__(self, data: bytes, size: tuple = (1,), stride: tuple = (1,), offset=0):
        self.fields = (Call(torch.storage._load_from_bytes, data), offset, size, stride, False)

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, (*self.fields, collections.OrderedDict())


def good_storage() -> bytes:
    buffer = io.BytesIO()
    storage = torch.storage.TypedStorage([0.0] * 4, dtype=torch.float32, _internal=True)
    torch.save(storage, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def zip_storage() -> bytes:
    buffer = io.BytesIO()
    torch.save(torch.zeros(4), buffer)
    return buffer.getvalue()


def cyclic(nv) -> Persistent:
    root = Persistent(nv, "Generator")
    root.state["_modules"]["again"] = root
    return root


def doubling(nv, levels: int) -> Persistent:
    """2^levels paths over ``levels`` objects."""
    node = Persistent(nv, "Layer")
    for _ in range(levels):
        above = Persistent(nv, "Layer")
        above.state["_modules"] |= {"a": node, "b": node}
        node = above
    return node


PROTO4 = b"\x80\x04"
LIST_BOMB = PROTO4 + b"]" + b"\x94" + (b"](" + b"h\x00" * 20 + b"e\x94") * 5 + b"."
BYTES_HOSTILE = {
    "empty": (b"", "cut off"),
    "text": (b"import os\n", "opcode"),
    "a zip file": (b"PK\x03\x04" + bytes(40), "opcode"),
    "protocol 0 call": (b"cos\nsystem\n(S'true'\ntR.", "'os system'"),
    "overlong name": (b"c" + b"a" * 5000 + b"\nb\n.", "overlong"),
    "long bytes": (PROTO4 + b"\x8e" + struct.pack("<Q", 2**62) + b"abc.", "announces"),
    "long string": (PROTO4 + b"\x8d" + struct.pack("<Q", 2**63 + 5) + b"abc.", "strings"),
    "long bytearray": (PROTO4 + b"\x96" + struct.pack("<Q", 2**40) + b"abc.", "opcode 0x96"),
    "long integer": (PROTO4 + b"\x8b" + struct.pack("<i", 2**30) + b"abc.", "opcode 0x8b"),
    "long decimal": (b"L" + b"9" * 10**6 + b"L\n.", "opcode"),
    "far memo index": (PROTO4 + b"Nr\xff\xff\xff\xff.", "G_ema"),
    "memo never set": (PROTO4 + b"h\x05.", "recalls"),
    "lists of lists": (LIST_BOMB, "more or less than one|G_ema"),
    "nested tuples": (PROTO4 + b")" + b"\x85" * 100_000 + b".", "G_ema"),
    "nested lists": (PROTO4 + b"]" * 60_000 + b"a" * 59_999 + b".", "G_ema"),
    "a nested tuple as a key": (
        PROTO4 + b"})" + b"\x85" * 100_000 + b"Ns.",
        "tuple as a key",
    ),
    "many opcodes": (PROTO4 + b"N0" * 10**6 + b".", "opcode"),
    "many marks": (PROTO4 + b"(" * 10**6 + b".", "opcodes"),
    "stack underflow": (PROTO4 + b"a.", "cut off or malformed"),
    "mark as a value": (PROTO4 + b"((\x85.", "where it may not"),
    "bad utf-8": (PROTO4 + b"\x8c\x02\xff\xff.", "UTF-8"),
    "persistent id": (PROTO4 + b"NQ.", "G_ema"),
    "no stop": (PROTO4 + b"N", "cut off"),
    "set state": (PROTO4 + b"}}\x8c\x01aNsb.", "state"),
}


@pytest.mark.parametrize("kind", BYTES_HOSTILE)
def test_hostile_bytes(tmp_path, kind: str) -> None:
    data, message = BYTES_HOSTILE[kind]
    path = write(tmp_path, data)
    start = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=message) as caught:
            load_generator(path)
        assert tracemalloc.get_traced_memory()[1] < 150e6
    finally:
        tracemalloc.stop()
    assert time.monotonic() - start < 20
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_hostile_calls_never_run(tmp_path, nvidia_modules, small_params) -> None:
    """Each beside its twin: the same snapshot without the hostile part is read."""
    nv, params = nvidia_modules, small_params()
    touched = tmp_path / "touched"
    command = f"touch {touched}"
    good = network(nv, params)
    assert load_generator(write(tmp_path, snapshot(nv, good, extra=None))).resolution == 16
    hostile = {
        "os.system": Call(os.system, command),
        "eval": Call(eval, f"open({str(touched)!r}, 'w')"),
        "exec": Call(exec, f"open({str(touched)!r}, 'w')"),
        "getattr": Call(getattr, Call(__import__, "os"), "system"),
        "open": Call(open, str(touched), "w"),
        "torch.load": Call(torch.load, str(touched)),
        "OrderedDict of pairs": Call(collections.OrderedDict, [("a", 1)]),
    }
    for name, thing in hostile.items():
        for protocol in (2, 3, 4, 5):
            path = write(tmp_path, snapshot(nv, good, protocol, extra=[thing]))
            with pytest.raises(InputError, match=r"not run|arguments"):
                load_generator(path)
            assert not touched.exists(), name


def test_hostile_storages_never_run(tmp_path, nvidia_modules, small_params) -> None:
    nv, params = nvidia_modules, small_params()
    touched = tmp_path / "touched"
    good = good_storage()
    evil = pickle.dumps(Call(os.system, f"touch {touched}"), 2)
    bias = "synthesis.b4.conv1.bias"

    def load(storage: bytes, **shape):
        root = network(nv, params)
        layer = root.state["_modules"]["synthesis"].state["_modules"]["b4"].state["_modules"]
        tensor = RawStorage(storage, **shape)
        layer["conv1"].state["_parameters"]["bias"] = tensor
        return load_generator(write(tmp_path, snapshot(nv, root)))

    with pytest.raises(InputError, match=r"conv1\.bias has shape \(4,\)"):  # control: it is read
        load(good, size=(4,))
    assert params[bias].shape == (6,)
    magic = len(pickle.dumps(0x1950A86A20F9469CFC6C, 2))
    hostile = {
        "evil": (evil, "'posix system'"),
        "evil behind the magic number": (good[:magic] + evil, "not run"),
        "zip": (zip_storage(), "opcode"),
        "empty": (b"", "cut off"),
        "cut off": (good[:-1], "over-long|cut off"),
        "over-long": (good + b"x", "over-long"),
        "other length": (good[:-24] + bytes(8) + good[-16:], "two different"),
        "other magic": (pickle.dumps(1, 2) + good[magic:], "file format"),
        "bomb": (PROTO4 + b"]" * 10**6, "opcodes"),
    }
    for data, message in hostile.values():
        with pytest.raises(InputError, match=message):
            load(data, size=(4,))
        assert not touched.exists()
    for shape in (
        {"size": (2**40,), "stride": (0,)},
        {"size": (5,), "stride": (1,)},
        {"size": (4,), "offset": 1},
        {"size": (2,), "stride": (4,)},
        {"size": (-1,)},
        {"size": (4,), "stride": (-1,)},
        {"size": (1,) * 40, "stride": (1,) * 40},
        {"size": (4,), "stride": ()},
        {"size": [4], "stride": [1]},
        {"size": (True,), "stride": (1,)},
    ):
        with pytest.raises(InputError, match=r"conv1\.bias (has|reaches)"):
            load(good, **shape)


def test_networks_that_are_no_generator(tmp_path, nvidia_modules, small_params) -> None:
    nv, params = nvidia_modules, small_params()
    load_generator(write(tmp_path, snapshot(nv, network(nv, params))))  # control
    wide = params | {"synthesis.b8.conv0.bias": expanded(10**9)}
    renamed = {k.replace("synthesis.b", "synthesis.L"): v for k, v in params.items()}
    cases = [
        (None, "no network named G_ema"),
        (cyclic(nv), "opcode 0x30"),
        (doubling(nv, 40), "StyleGAN2|1000 modules"),
        (doubling(nv, 8), "not a StyleGAN2|1000 modules|no mapping"),
        (network(nv, wide), "beyond its storage|malformed size"),
        (network(nv, renamed), "not a StyleGAN2 generator"),
        (network(nv, params, synthesis={"c_dim": 10}), "class label"),
        (network(nv, params, synthesis__b8={"architecture": "resnet"}), "not 'skip'"),
        (network(nv, params, synthesis__b8__conv0={"conv_clamp": 1}), "differ in conv_clamp"),
        (network(nv, params, synthesis__b8__conv0={"conv_clamp": "x"}), "not a number"),
        (network(nv, params, mapping__fc0={"activation": "relu"}), "leaky"),
        (network(nv, params, synthesis__b8={"_modules": [1]}), "not a dict"),
        (network(nv, params, synthesis__b8={"_modules": {1: None}}), "short string"),
        (network(nv, params, synthesis__b8={"_buffers": {"x": 3}}), "not a tensor"),
        (network(nv, {k: v for k, v in params.items() if "b8.conv1" not in k}), "lacks"),
    ]
    for root, message in cases:
        with pytest.raises(InputError, match=message):
            load_generator(write(tmp_path, snapshot(nv, root)))


def test_damaged_snapshots_never_escape_as_another_error(
    tmp_path, nvidia_modules, small_params
) -> None:
    whole = snapshot(nvidia_modules, network(nvidia_modules, small_params()))
    rng = np.random.default_rng(0)
    refused = 0
    for k in range(300):
        data = bytearray(whole)
        if k % 3 == 0:
            data = data[: rng.integers(len(data))]
        for _ in range(int(rng.integers(0, 8)) if k % 3 else 0):
            data[rng.integers(len(data))] = rng.integers(256)
        try:
            load_generator(write(tmp_path, bytes(data)))
        except InputError:
            refused += 1
    assert refused > 150
    load_generator(write(tmp_path, whole))  # control
