"""A small model's whole chain, from random weights to verified proof."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from huref_zk.circuit import keys
from huref_zk.commitment.commit import Owner, checkpoint_salt, commit, read_owner
from huref_zk.commitment.file import Commitment, write_commitment
from huref_zk.commitment.secret import create_secret
from huref_zk.commitment.witness import Witness, make_witness, write_witness
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.models.load import open_model
from huref_zk.proofs.kernel import Setup
from huref_zk.proofs.picture.file import Bundle, read_bundle, write_bundle
from huref_zk.proofs.picture.prove import prove
from huref_zk.proofs.prepare import Prepared, checkpoint_digest, facts_of, prepare
from huref_zk.render import Generator, load_generator
from huref_zk.render import architecture as arch
from huref_zk.render.image import write_png
from huref_zk.render.tensors_file import write_safetensors
from huref_zk.srs.file import Srs
from huref_zk.srs.trust import find_srs

HIDDEN, HEADS, KV_HEADS, FFN, LAYERS, VOCAB, TOKENS = 16, 2, 1, 24, 3, 528, 512


@dataclass(frozen=True)
class Chain:
    """One model from weights to verified proof; the files hold what the objects say.

    pixels: uint8 (16, 16, 3). cache holds the keys and the test SRS; folder is the owner's.
    """

    model: Path
    prepared: Prepared
    owner: Owner
    bundle: Bundle
    pixels: np.ndarray
    srs: Srs
    keys: keys.Keys
    cache: Path
    generator: Generator
    generator_file: Path
    folder: Path
    bundle_file: Path
    image_file: Path

    @property
    def commitment(self) -> Commitment:
        return self.owner.commitment

    @property
    def commitment_file(self) -> Path:
        return self.folder / "commitment.hzc"

    @property
    def setup(self) -> Setup:
        """What accepts proofs under the test SRS."""
        return Setup(self.cache, allow_test=True)


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
            "mlp.gate_proj": (FFN, HIDDEN),
            "mlp.up_proj": (FFN, HIDDEN),
            "mlp.down_proj": (HIDDEN, FFN),
            "input_layernorm": (HIDDEN,),
            "post_attention_layernorm": (HIDDEN,),
        }
        shapes |= {f"model.layers.{i}.{name}.weight": shape for name, shape in names.items()}
    tensors = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    folder.mkdir(parents=True)
    write_safetensors(
        folder / "model.safetensors",
        {name: value.astype(np.float32) for name, value in tensors.items()},
        {},
    )
    config = {
        "model_type": "llama",
        "hidden_act": "silu",
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


def witness_of(ref: str, prepared: Prepared, secret: bytes | None, srs: Srs) -> Witness:
    """The witness of a model under this secret (None: a public model)."""
    salt = checkpoint_salt(secret)
    q = prepared.quantised
    return make_witness(
        facts_of(prepared),
        q.E,
        q.C,
        srs,
        checkpoint_digest(open_model(ref), salt),
        salt,
        public=secret is None,
    )


def write_owner(
    folder: Path, ref: str, prepared: Prepared, secret: bytes | None, srs: Srs
) -> Owner:
    """Commit, and write the owner's folder as the command does."""
    witness = witness_of(ref, prepared, secret, srs)
    folder.mkdir(parents=True, exist_ok=True)
    if secret is not None:
        create_secret(folder / "secret.key", secret)
    write_witness(folder / "witness.hzw", witness)
    write_commitment(folder / "commitment.hzc", commit(witness, secret, srs))
    return read_owner(folder)


def make_chain(
    folder: Path, seed: int, cache: Path, generator_file: Path, **options: object
) -> Chain:
    """The chain of the random model with the given seed, in ``folder``; options: prepare's."""
    write_model(folder / "model", seed)
    ref = str(folder / "model")
    prepared = prepare(ref, **{"count": TOKENS, **options})
    srs = find_srs(prepared.shape.k, cache, make_test=True)
    derived = keys.derive(prepared.shape, srs, cache)
    owner = write_owner(folder / "owner", ref, prepared, bytes([seed]) * 32, srs)
    generator = load_generator(generator_file)
    bundle, pixels = prove(owner, PUBLIC_SEED, srs, cache, generator)
    bundle_file, image_file = folder / "proof.hzp", folder / "picture.png"
    write_bundle(bundle_file, bundle)
    write_png(image_file, pixels)
    return Chain(
        model=folder / "model",
        prepared=prepared,
        owner=owner,
        bundle=read_bundle(bundle_file),
        pixels=pixels,
        srs=srs,
        keys=derived,
        cache=cache,
        generator=generator,
        generator_file=generator_file,
        folder=folder / "owner",
        bundle_file=bundle_file,
        image_file=image_file,
    )
