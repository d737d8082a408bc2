"""What a bundle claims: the header fields that prover and verifier both work out for themselves."""

from __future__ import annotations

import hashlib

import numpy as np

from huref_zk.circuit.encoder import load_encoder
from huref_zk.circuit.shape import EZKL_VERSION, Shape
from huref_zk.commitment.file import Commitment
from huref_zk.files.container import canonical_json
from huref_zk.proofs.picture.file import FIELDS, FORMAT, encode_v
from huref_zk.render import Generator


def claim(
    commitment: Commitment, seed: bytes, shape: Shape, generator: Generator, pixels: np.ndarray
) -> dict[str, str]:
    """The header of an honest bundle, without its lengths: hex digests and versions."""
    return {
        "format": FORMAT,
        "root": commitment.root_hex,
        "seed": seed.hex(),
        "circuit": shape.digest,
        "encoder": load_encoder().digest,
        "generator": generator.digest,
        "render": render_digest(generator),
        "image": pixel_digest(pixels),
        "ezkl": EZKL_VERSION,
        "srs": commitment.descriptor["srs"]["sha256"],
    }


def statement_digest(header: dict, v: tuple[int, ...] | list[int]) -> bytes:
    """SHA-256 of the claim and v, 32 bytes. The projection proof's transcript starts from it, so no
    part of a bundle can be lent to another claim."""
    h = hashlib.sha256(b"huref-zk statement 1")
    for name in sorted(FIELDS):
        if not name.endswith("_bytes"):
            value = header[name].encode()
            h.update(len(value).to_bytes(4, "big") + value)
    h.update(encode_v(v))
    return h.digest()


def render_digest(generator: Generator) -> str:
    """SHA-256, hex, of the rendering constants used with ``generator``."""
    return hashlib.sha256(canonical_json(_described(generator))).hexdigest()


def _described(generator: Generator) -> dict:
    # Canonical JSON knows no null: an absent constant is left out.
    constants = generator.default_config.describe()
    return {key: value for key, value in constants.items() if value is not None}


def pixel_digest(pixels: np.ndarray) -> str:
    """SHA-256, hex, of a picture's size and its uint8 pixels in row order."""
    height, width, channels = pixels.shape
    h = hashlib.sha256(b"".join(n.to_bytes(4, "big") for n in (height, width, channels)))
    h.update(np.ascontiguousarray(pixels, dtype=np.uint8).tobytes())
    return h.hexdigest()
