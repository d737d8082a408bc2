"""Honest files of every kind, as small as they come: what the fuzzer starts from."""

from __future__ import annotations

import json
import pickle
import struct
import sys
import types
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np

from huref_zk.argument.linear import RelationProof, response_lengths
from huref_zk.argument.projection import SetProof, serialise_projection
from huref_zk.circuit.shape import shape_for
from huref_zk.commitment.descriptor import Audited, block_length, token_digest
from huref_zk.commitment.file import Commitment, make_commitment, serialise
from huref_zk.commitment.witness import Witness, make_witness, write_witness
from huref_zk.comparison import saved as hzf
from huref_zk.comparison.tokens import TokenList
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import GENERATOR, R
from huref_zk.invariants.encoder import V_LENGTH
from huref_zk.proofs.inference import claims
from huref_zk.proofs.inference import file as hza
from huref_zk.proofs.inference.claims import blocks_of, geometry_of
from huref_zk.proofs.opening import file as hzo
from huref_zk.proofs.picture import file as hzp
from huref_zk.proofs.similarity import file as hzs
from huref_zk.srs.name import SrsName
from tests.support import ptau_files
from tests.support.chain import write_model
from tests.support.saved_fingerprints import random_survey

HEX = "0123456789abcdef" * 4
D, K, LAYER = 16, 64, 2
ATTENTION, FFN = 16, 24


def points(count: int, start: int = 3) -> list[bn254.Point]:
    """Distinct points of the curve."""
    out = [bn254.multiply(GENERATOR, start)]
    while len(out) < count:
        out.append(bn254.add(out[-1], GENERATOR))
    return out


@cache
def model(folder: Path) -> Path:
    """The suite's small model, written to ``folder``/model."""
    if not (folder / "model").exists():
        write_model(folder / "model", 1)
    return folder / "model"


@cache
def witness(audited: bool = False) -> Witness:
    """Integers of a model of three layers, d = 16; one layer and the output may be audited."""
    rng = np.random.default_rng(1)

    def draw(*shape: int) -> np.ndarray:
        return rng.integers(-300, 300, shape).astype(np.int16)

    facts = {
        "recipe": "whole",
        "model": {
            "architecture": "llama",
            "hidden_size": D,
            "heads": 2,
            "kv_heads": 1,
            "head_dim": ATTENTION // 2,
            "ffn": FFN,
            "layers_total": 3,
        },
        "layers": [0, 1, 2],
        "tokens": {"count": K, "digest": token_digest(range(K)), "choice": "given"},
        "scales": {name: "128.0" for name in ("E", "O", "C0a", "C0b", "C0f", *blocks_of(LAYER))},
    }
    both = 2 * ATTENTION
    more = {name: draw(D, both) for name in ("qv", "ko")}
    more |= {name: draw(D, FFN) for name in ("up", "gate", "down")}
    extra = {f"{name}{LAYER}": values for name, values in more.items()} | {"O": draw(K, D)}
    return make_witness(
        facts,
        draw(K, D),
        [draw(3, D, D)],
        SimpleNamespace(name=SrsName("test", shape_for(D).k, HEX)),  # its name is all that counts
        bytes(range(32)),
        bytes(range(32, 64)),
        extra if audited else None,
        (Audited(LAYER, ATTENTION, FFN),) if audited else (),
    )


@cache
def commitment(audited: bool = False) -> Commitment:
    """A commitment that fits the witness; its points commit to nothing in particular."""
    descriptor = witness(audited).descriptor
    rest = iter(points(sum(m.rows for m in descriptor.matrices)))
    return make_commitment(
        descriptor, {m.name: [next(rest) for _ in range(m.rows)] for m in descriptor.matrices}
    )


def commitment_bytes(folder: Path) -> bytes:
    return serialise(commitment())


def witness_bytes(folder: Path) -> bytes:
    write_witness(folder / "seed.hzw", witness())
    return (folder / "seed.hzw").read_bytes()


def projection() -> bytes:
    a, b = points(2, 77)
    numbers = ((i * i * 12345678901234567890) % R for i in range(block_length(D)))
    return serialise_projection((SetProof(a, b, tuple(numbers)),))


def halo2(count: int) -> bytes:
    """Bytes that open as a Halo2 proof with so many commitments does."""
    return b"".join(map(bn254.compress, points(count, 9))) + bytes(range(200))


def bundle(folder: Path) -> bytes:
    claim = hzp.Claim(**dict.fromkeys(hzp._DIGESTS, HEX), ezkl="23.0.5")
    v = tuple((-1) ** i * i * 10**12 for i in range(V_LENGTH))
    return hzp.serialise_bundle(
        hzp.Bundle(claim, serialise(commitment()), projection(), v, halo2(49))
    )


def pair(folder: Path) -> bytes:
    claim = hzs.Claim(HEX, HEX, HEX, HEX, "23.0.5", -3, 65536)
    committed, proof = serialise(commitment()), projection()
    return hzs.serialise_bundle(
        hzs.PairBundle(claim, (committed, committed), (proof, proof), halo2(200))
    )


def opening(folder: Path) -> bytes:
    c = commitment(audited=True)
    places = [("E", 0), ("E", 31), ("C", 15), (f"qv{LAYER}", 2), ("O", 5)]
    leaves, count = hzo.leaves_of(c.descriptor, places)
    opened = []
    for name, row in places:
        m = c.descriptor.matrix(name)
        values = (np.arange(m.columns) * (row + 1) % 65535 - 32767).astype(np.int16)
        opened.append(hzo.OpenedRow((name, row), values, tuple(range(m.salts))))
    lying = tuple(
        hzo.OpenedLeaf(
            leaf,
            c.points[leaf.matrix][leaf.first : leaf.first + leaf.rows],
            tuple(range(hzo.siblings_needed(leaf.number, count))),
        )
        for leaf in leaves
    )
    return hzo.serialise_opening(hzo.Opening(c.descriptor, tuple(opened), lying))


def audit(folder: Path) -> bytes:
    c = commitment(audited=True)
    geometry = geometry_of(c.descriptor)
    ids, tokens, positions = (1, 2, 90), tuple(range(K)), 2
    head = hza.Head(HEX, positions, "1e-06", "10000.0", "O", {"a": (8,), "mid": (8,), "z": (8,)})
    places = hza.places_of(c.root, geometry, head, ids, tokens)
    extent = claims.Extent(positions, True, len(places.named))
    arrays = [
        np.ones(shape, claims.TYPES[name]) for name, shape in claims._shapes(geometry, extent)
    ]
    layers, rest = len(claims.LAYER_FIELDS), arrays[len(claims.LAYER_FIELDS) :]
    said = claims.Claims(
        (claims.LayerClaims(*arrays[:layers]),), claims.OutputClaims(*rest[:-1]), rest[-1]
    )
    matrices = hza.relation_matrices(geometry, head.output, places)
    proof = tuple(
        RelationProof(point, n, tuple(range(n, n + length)))
        for n, (point, length) in enumerate(
            zip(points(len(matrices)), response_lengths(c.descriptor, matrices), strict=True)
        )
    )
    return hza.serialise_audit(hza.Audit(head, serialise(c), ids, tokens, said, proof))


def fingerprints(folder: Path) -> list[bytes]:
    surveyed = random_survey(layers=1, groups=(4,))
    ids = np.array([5, 6, 7, 900], dtype=np.int64)
    facts = {"architecture": "llama", "hidden_size": 16}
    v = tuple(range(-256, 256))
    with_all = hzf.Saved(
        "one", facts, bytes(32), TokenList(ids, (4,), ("a", "b\u00e9", "c", "")), surveyed, v
    )
    with_less = hzf.Saved("two", facts, bytes(32), TokenList(ids, (4,), None), surveyed, None)
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
    from tests.render.conftest import make_params

    return make_params((4, 3), 4, 3)


def generator(folder: Path) -> bytes:
    from huref_zk.render.tensors_file import write_safetensors

    write_safetensors(folder / "seed.safetensors", _small_params(), {"conv_clamp": "256"})
    return (folder / "seed.safetensors").read_bytes()


def snapshots(folder: Path) -> list[bytes]:
    """Pickles as NVIDIA's: written with stand-ins for the modules that they name."""
    from tests.render import test_nvidia as tests

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
    return [ptau_files.raw_srs(1), ptau_files.raw_srs(2)]


def ptau(folder: Path) -> list[bytes]:
    whole, prepared = ptau_files.sections(1), ptau_files.sections(2, prepared=3)
    return [ptau_files.pack(whole), ptau_files.pack(prepared)]


def weights(folder: Path) -> bytes:
    return (model(folder) / "model.safetensors").read_bytes()


def config(folder: Path) -> bytes:
    return (model(folder) / "config.json").read_bytes()


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

    from tests.support.gguf_files import LLAMA_NAMES as NAMES

    facts = json.loads(config(folder))
    tensors = load_file(model(folder) / "model.safetensors")
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
