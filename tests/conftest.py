"""A small model's whole chain, built once a session and only when a test asks for it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from huref_zk.circuit import keys
from huref_zk.commitment.file import Commitment, write_commitment
from huref_zk.invariants.prepare import Prepared, commit_model, prepare
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.proofs.picture.file import Bundle, read_bundle, write_bundle
from huref_zk.proofs.picture.prove import prove
from huref_zk.render import Generator, load_generator
from huref_zk.render import architecture as arch
from huref_zk.render.image import write_png
from huref_zk.render.tensors_file import write_safetensors
from huref_zk.srs.file import Srs, find_srs

HIDDEN, HEADS, KV_HEADS, FFN, LAYERS, VOCAB, TOKENS = 16, 2, 1, 16, 3, 80, 64


@dataclass(frozen=True)
class Chain:
    """One model from weights to verified proof; the files hold what the objects say.

    pixels: uint8 (16, 16, 3). cache holds the keys and the test SRS.
    """

    prepared: Prepared
    secret: bytes
    commitment: Commitment
    bundle: Bundle
    pixels: np.ndarray
    srs: Srs
    keys: keys.Keys
    cache: Path
    generator: Generator
    generator_file: Path
    bundle_file: Path
    commitment_file: Path
    image_file: Path


def write_model(folder: Path, seed: int) -> None:
    """A LLaMA folder with random weights; see the sizes above."""
    rng = np.random.default_rng(seed)
    width, kv_width = HIDDEN, HIDDEN // HEADS * KV_HEADS
    shapes = {"model.embed_tokens.weight": (VOCAB, HIDDEN)}
    for i in range(LAYERS):
        names = {
            "self_attn.q_proj": (width, HIDDEN),
            "self_attn.k_proj": (kv_width, HIDDEN),
            "self_attn.v_proj": (kv_width, HIDDEN),
            "self_attn.o_proj": (HIDDEN, width),
            "mlp.up_proj": (FFN, HIDDEN),
            "mlp.down_proj": (HIDDEN, FFN),
            "input_layernorm": (HIDDEN,),
            "post_attention_layernorm": (HIDDEN,),
        }
        shapes |= {f"model.layers.{i}.{name}.weight": shape for name, shape in names.items()}
    tensors = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    folder.mkdir()
    write_safetensors(
        folder / "model.safetensors",
        {name: value.astype(np.float32) for name, value in tensors.items()},
        {},
    )
    config = {
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "intermediate_size": FFN,
        "num_hidden_layers": LAYERS,
        "vocab_size": VOCAB,
    }
    (folder / "config.json").write_text(json.dumps(config))


def write_generator(path: Path, seed: int) -> None:
    """A StyleGAN2 generator of 16 x 16 pixels for 512 numbers, with random weights."""
    rng = np.random.default_rng(seed)
    required, _ = arch.parameter_shapes(512, 8, 2, (6, 5, 4))
    params = {}
    for name, shape in required.items():
        scale = 100 if name.startswith("mapping.fc") and name.endswith("weight") else 1
        params[name] = (scale * rng.standard_normal(shape)).astype(np.float16)
    write_safetensors(path, params, {})


@pytest.fixture(scope="session")
def generator_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("generator") / "small.safetensors"
    write_generator(path, 1)
    return path


@pytest.fixture(scope="session")
def other_generator_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("generator") / "other.safetensors"
    write_generator(path, 2)
    return path


@pytest.fixture(scope="session")
def make_chain(tmp_path_factory, generator_file):
    """Builds the chain of the random model with the given seed; all share one cache of keys."""
    cache = tmp_path_factory.mktemp("cache")

    def make(seed: int) -> Chain:
        folder = tmp_path_factory.mktemp("chain")
        write_model(folder / "model", seed)
        prepared = prepare(str(folder / "model"), count=TOKENS)
        srs = find_srs(prepared.shape.k, cache, make_test=True)
        derived = keys.derive(prepared.shape, srs, cache)
        secret = bytes([seed]) * 32
        commitment = commit_model(prepared, secret, srs)
        generator = load_generator(generator_file)
        bundle, pixels = prove(prepared, commitment, secret, PUBLIC_SEED, srs, cache, generator)
        files = [folder / name for name in ("proof.hzp", "commitment.hzc", "picture.png")]
        write_bundle(files[0], bundle)
        write_commitment(files[1], commitment)
        write_png(files[2], pixels)
        return Chain(
            prepared=prepared,
            secret=secret,
            commitment=commitment,
            bundle=read_bundle(files[0]),
            pixels=pixels,
            srs=srs,
            keys=derived,
            cache=cache,
            generator=generator,
            generator_file=generator_file,
            bundle_file=files[0],
            commitment_file=files[1],
            image_file=files[2],
        )

    yield make
    shutil.rmtree(cache)  # proving keys of hundreds of megabytes, which pytest would keep


@pytest.fixture(scope="session")
def chain(make_chain) -> Chain:
    return make_chain(1)


@pytest.fixture(scope="session")
def stranger(make_chain) -> Chain:
    """Another model of the same shape, with an honest proof of its own."""
    return make_chain(2)
