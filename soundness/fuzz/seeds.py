"""Honest files of every kind, as small as they come: what the fuzzer starts from."""

from __future__ import annotations

import importlib.util
import json
import pickle
import struct
import sys
import types
from functools import cache
from pathlib import Path
from unittest.mock import patch

import numpy as np

from huref_zk.argument.projection_proof import ProjectionProof, SideProof, serialise_projection
from huref_zk.circuit.encoder import V_LENGTH
from huref_zk.commitment import file as hzc
from huref_zk.commitment.file import Commitment, parse_commitment, token_digest
from huref_zk.commitment.salts import E_SALTS, SALTS
from huref_zk.comparison import saved as hzf
from huref_zk.comparison.tokens import TokenList
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import GENERATOR, R
from huref_zk.files.container import pack_container
from huref_zk.invariants.canonical import Canonical, canonicalise
from huref_zk.models.load import open_model
from huref_zk.proofs.inference import claims
from huref_zk.proofs.inference import file as hza
from huref_zk.proofs.inference.claims import geometry_of
from huref_zk.proofs.opening import file as hzo
from huref_zk.proofs.picture import file as hzp
from huref_zk.proofs.picture.file import FIELDS, FORMAT, encode_v
from huref_zk.proofs.similarity import file as hzs
from soundness.small import ROOT, TOKENS, write_model

HEX = "0123456789abcdef" * 4


def load_module(name: str, path: str) -> types.ModuleType:
    """A file of tests/ as a module, loaded once."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / path)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def points(count: int, start: int = 3) -> list[bn254.Point]:
    """Distinct points of the curve."""
    out = [bn254.multiply(GENERATOR, start)]
    while len(out) < count:
        out.append(bn254.add(out[-1], GENERATOR))
    return out


@cache
def canonical(folder: Path) -> Canonical:
    """The suite's small model, written to ``folder``/model."""
    if not (folder / "model").exists():
        write_model(folder / "model", 1)
    return canonicalise(open_model(str(folder / "model")), tokens=TOKENS)


@cache
def commitment_bytes(folder: Path) -> bytes:
    """A `.hzc` file that fits the small model; its points commit to nothing in particular."""
    c = canonical(folder)
    d = int(c.facts["hidden_size"])
    descriptor = {
        "format": hzc.FORMAT,
        "model": c.facts,
        "layers": list(c.layer_ids),
        "widths": list(c.widths),
        "tokens": {"count": TOKENS, "digest": token_digest(c.token_ids)},
        "scales": {"E": 8, **{f"{m}{i}{t}": 9 for m in "UV" for i in range(2) for t in "abf"}},
        "salts": SALTS,
        "domain_k": 13,
        "srs": {"kind": "test", "sha256": HEX},
        "ezkl": "23.0.5",
    }
    rows = b"".join(map(bn254.compress, points(TOKENS + 2 * d)))
    return pack_container(hzc.MAGIC, descriptor, [rows])


@cache
def commitment(folder: Path) -> Commitment:
    return parse_commitment(commitment_bytes(folder))


def projection(folder: Path) -> bytes:
    length = commitment(folder).hidden + E_SALTS
    a, b, c, d = points(4, 77)
    numbers = tuple((i * i * 12345678901234567890) % R for i in range(length))
    return serialise_projection(
        ProjectionProof((SideProof(a, b, numbers), SideProof(c, d, numbers[::-1])))
    )


def halo2(count: int) -> bytes:
    """Bytes that open as a Halo2 proof with so many commitments does."""
    return b"".join(map(bn254.encode_uncompressed, points(count, 9))) + bytes(range(200))


def bundle(folder: Path) -> bytes:
    header = {name: HEX for name, (kind, bound) in FIELDS.items() if kind is str and bound == 64}
    header |= {"format": FORMAT, "ezkl": "23.0.5"}
    v = encode_v([(-1) ** i * i * 10**12 for i in range(V_LENGTH)])
    sections = (commitment_bytes(folder), projection(folder), v, halo2(32))
    lengths = {f"{n}_bytes": len(s) for n, s in zip(hzp.SECTIONS, sections, strict=True)}
    return pack_container(hzp.MAGIC, header | lengths, sections)


def pair(folder: Path) -> bytes:
    names = (name for name, (kind, bound) in hzs.FIELDS.items() if kind is str and bound == 64)
    header = dict.fromkeys(names, HEX)
    header |= {"format": hzs.FORMAT, "ezkl": "23.0.5", "low": -3, "high": 65536}
    committed, proof = commitment_bytes(folder), projection(folder)
    sections = (committed, committed, proof, proof, halo2(65))
    lengths = {f"{n}_bytes": len(s) for n, s in zip(hzs.SECTIONS, sections, strict=True)}
    return pack_container(hzs.MAGIC, header | lengths, sections)


def opening(folder: Path) -> bytes:
    descriptor = commitment(folder).descriptor
    c = commitment(folder)
    places = [(0, 0), (0, 63), (1, 3), (2, 15)]
    chosen, count = hzo.leaves_of(descriptor, places)
    groups = (c.E_points, c.U_points, c.V_points)
    opened = []
    for matrix, row in places:
        entries, salts = hzo.row_sizes(descriptor, matrix)
        values = (np.arange(entries) * (row + 1) % 65535 - 32767).astype(np.int16)
        opened.append(hzo.OpenedRow((matrix, row), values, tuple(range(salts))))
    leaves = [
        hzo.OpenedLeaf(
            number,
            matrix,
            first,
            tuple(groups[matrix][first : first + size]),
            tuple(range(hzo.siblings_needed(number, count))),
        )
        for number, matrix, first, size in chosen
    ]
    return hzo.serialise_opening(hzo.Opening(descriptor, tuple(opened), tuple(leaves)))


def audit(folder: Path) -> bytes:
    committed = commitment_bytes(folder)
    geometry = geometry_of(commitment(folder).descriptor)
    layers = len(geometry.layers)
    header = {
        "format": hza.FORMAT,
        "nonce": HEX,
        "prompt": "a prompt",
        "tokens": 3,
        "positions": 2,
        "rms_norm_eps": "1e-06",
        "rope_theta": "10000.0",
        "scales": {"a": [8] * layers, "mid": [8] * layers},
        "commitment_bytes": len(committed),
    }
    one = claims.LayerClaims(
        **{
            name: np.ones((claims._rows(name, 2), geometry.widths[name]), claims.TYPES[name])
            for name in claims.FIELDS
        }
    )
    said = claims.serialise_claims((one,) * layers)
    body = committed + hza.ids_bytes((1, 2, 3)) + said
    return pack_container(hza.MAGIC, header, [body + bytes(hza.proof_bytes(geometry))])


def fingerprints(folder: Path) -> list[bytes]:
    maps = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    ids = np.array([5, 6, 7, 900], dtype=np.int64)
    facts = {"architecture": "llama", "hidden_size": 16}
    v = tuple(range(-256, 256))
    with_all = hzf.Saved("one", facts, bytes(32), TokenList(ids, ("a", "bé", "c", "")), maps, v)
    with_less = hzf.Saved("two", facts, bytes(32), TokenList(ids, None), maps, None)
    return [hzf.serialise_fingerprint(saved) for saved in (with_all, with_less)]


def png(folder: Path) -> list[bytes]:
    from huref_zk.render.image import write_png

    picture = (np.arange(16 * 16 * 3) % 256).astype(np.uint8).reshape(16, 16, 3)
    out = []
    for text in (None, {"about": "a picture"}):
        write_png(folder / "seed.png", picture, text)
        out.append((folder / "seed.png").read_bytes())
    return out


def _small_params() -> dict[str, np.ndarray]:
    params = load_module("huref_render_conftest", "tests/render/conftest.py")
    return params.make_params((4, 3), 4, 3)


def generator(folder: Path) -> bytes:
    from huref_zk.render.tensors_file import write_safetensors

    write_safetensors(folder / "seed.safetensors", _small_params(), {"conv_clamp": "256"})
    return (folder / "seed.safetensors").read_bytes()


def snapshots(folder: Path) -> list[bytes]:
    """Pickles as NVIDIA's: written with stand-ins for the modules that they name."""
    tests = load_module("huref_test_nvidia", "tests/render/test_nvidia.py")
    with patch.dict("sys.modules"):
        nv = stand_ins()
        network = tests.network(nv, _small_params())
        return [tests.snapshot(nv, network, protocol) for protocol in (3, 4)]


def stand_ins():
    """What tests/render/test_nvidia.py puts in place of NVIDIA's two modules."""
    persistence = types.ModuleType("torch_utils.persistence")
    util = types.ModuleType("dnnlib.util")

    def _reconstruct_persistent_obj(meta):
        raise AssertionError("a snapshot was executed")

    class EasyDict(dict):
        pass

    for module, thing in ((persistence, _reconstruct_persistent_obj), (util, EasyDict)):
        thing.__module__, thing.__qualname__ = module.__name__, thing.__name__
        setattr(module, thing.__name__, thing)
        sys.modules[module.__name__.split(".")[0]] = types.ModuleType("x")
        sys.modules[module.__name__] = module
    return types.SimpleNamespace(reconstruct=_reconstruct_persistent_obj, EasyDict=EasyDict)


def pickles(folder: Path) -> list[bytes]:
    """Plain pickles of the protocols in use, for the machine under the reader of snapshots."""
    shared: list = [1, "two", 3.0, None, True, b"\0\xff", (4,), {5: 6}]
    value = {"a": shared, "b": shared, "d": 1 << 70, "e": -1, "f": "é" * 300, "g": (1, 2, 3, 4)}
    return [pickle.dumps(value, protocol) for protocol in (3, 4)]


def srs(folder: Path) -> list[bytes]:
    files = load_module("ptau_files", "tests/commit/ptau_files.py")
    return [files.raw_srs(1), files.raw_srs(2)]


def ptau(folder: Path) -> list[bytes]:
    files = load_module("ptau_files", "tests/commit/ptau_files.py")
    return [files.pack(files.sections(1)), files.pack(files.sections(2, prepared=3))]


def weights(folder: Path) -> bytes:
    canonical(folder)
    return (folder / "model" / "model.safetensors").read_bytes()


def config(folder: Path) -> bytes:
    canonical(folder)
    return (folder / "model" / "config.json").read_bytes()


def index(folder: Path) -> bytes:
    return json.dumps(
        {
            "metadata": {"total_size": 1},
            "weight_map": dict.fromkeys(tensor_names(folder), "model.safetensors"),
        }
    ).encode()


def tensor_names(folder: Path) -> list[str]:
    data = weights(folder)
    (length,) = struct.unpack("<Q", data[:8])
    return [name for name in json.loads(data[8 : 8 + length]) if name != "__metadata__"]


def tokenizers(folder: Path) -> list[bytes]:
    vocabulary = {f"t{i}": i for i in range(80)}
    added = [{"id": i, "content": f"t{i}", "special": i < 2} for i in (0, 1, 79)]
    models: list[dict] = [
        {"type": "BPE", "vocab": vocabulary, "merges": merges()},
        {"type": "BPE", "vocab": vocabulary, "merges": [m.split() for m in merges()]},
        {"type": "Unigram", "vocab": [[text, -0.5 * i] for text, i in vocabulary.items()]},
    ]
    return [json.dumps({"model": model, "added_tokens": added}).encode() for model in models]


def merges() -> list[str]:
    """Those that make t0 .. t79."""
    return [f"t{i // 10} {i % 10}" if i > 9 else f"t {i}" for i in range(80)]


def gguf(folder: Path) -> bytes:
    from gguf import GGUFWriter
    from safetensors.numpy import load_file

    from huref_zk.models.gguf_file import NAMES

    canonical(folder)
    facts = json.loads(config(folder))
    tensors = load_file(folder / "model" / "model.safetensors")
    writer = GGUFWriter(folder / "seed.gguf", "llama")
    for key, field in {
        "block_count": "num_hidden_layers",
        "embedding_length": "hidden_size",
        "feed_forward_length": "intermediate_size",
        "attention.head_count": "num_attention_heads",
        "attention.head_count_kv": "num_key_value_heads",
    }.items():
        writer.add_uint32(f"llama.{key}", facts[field])
    writer.add_token_list([f"t{i}" for i in range(facts["vocab_size"])])
    writer.add_token_types([1 if i > 2 else 3 for i in range(facts["vocab_size"])])
    writer.add_token_merges(merges())
    writer.add_token_scores([-float(i) for i in range(facts["vocab_size"])])
    for theirs, ours in NAMES.items():
        for i in range(facts["num_hidden_layers"]) if "{i}" in theirs else [0]:
            if theirs.format(i=i) in tensors:
                writer.add_tensor(ours.format(i=i), tensors[theirs.format(i=i)])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return (folder / "seed.gguf").read_bytes()


def family_maps(folder: Path) -> list[bytes]:
    from dataclasses import asdict

    from huref_zk.models.families import Family, family_of

    defaults = {name: f.default for name, f in Family.__dataclass_fields__.items()}
    out = []
    for model_type in ("llama", "mixtral", "gpt2"):
        fields = {
            name: value
            for name, value in asdict(family_of({"model_type": model_type})).items()
            if value is not None and value != defaults[name]
        }
        out.append(json.dumps(fields).encode())
    return out
