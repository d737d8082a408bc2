"""The proof bundle `.hzp`: one file that carries everything a verifier reads but the picture.

Header fields (every one required, no others), all text; digests are SHA-256, hex:

    root        the commitment's Poseidon root, 64 hex digits
    seed        of the sketch, 64 hex digits
    circuit     digest of the circuit's shape and encoder
    encoder     digest of the encoder's weights
    generator   digest of the StyleGAN2 generator
    render      digest of the rendering constants
    image       digest of the picture's pixels
    ezkl        version that made the proof

Sections: the whole `.hzc` file of the committed model; the projection proof
(argument/projection.py); v, 512 signed integers of 64 bits big-endian; the Halo2 proof as ezkl
writes it, which opens with the commitments to 48 rows.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from huref_zk.circuit.shape import EZKL_VERSION, Shape
from huref_zk.commitment.file import Commitment, parse_commitment, serialise
from huref_zk.errors import InputError
from huref_zk.files.container import canonical_json, pack, read_bounded, unpack
from huref_zk.files.fields import hex_digits, members, text
from huref_zk.files.formats import BUNDLE
from huref_zk.files.writing import write_atomically
from huref_zk.invariants.encoder import V_LENGTH, load_encoder
from huref_zk.render import Generator

_DIGESTS = ("root", "seed", "circuit", "encoder", "generator", "render", "image")


@dataclass(frozen=True)
class Claim:
    """The header of a bundle; see the module's head."""

    root: str
    seed: str
    circuit: str
    encoder: str
    generator: str
    render: str
    image: str
    ezkl: str

    def digest(self, v: tuple[int, ...] | list[int]) -> bytes:
        """SHA-256 of the claim and v, 32 bytes. The projection proof's transcript starts from it,
        so no part of a bundle can be lent to another claim."""
        body = canonical_json(asdict(self))
        return hashlib.sha256(b"huref-zk statement 2" + body + encode_v(v)).digest()


@dataclass(frozen=True)
class Bundle:
    """claim: the header; commitment: bytes of the `.hzc`; projection: bytes of the projection
    proof; v: 512 signed integers; proof: the Halo2 proof."""

    claim: Claim
    commitment: bytes
    projection: bytes
    v: tuple[int, ...]
    proof: bytes

    @property
    def seed(self) -> bytes:
        return bytes.fromhex(self.claim.seed)


def claim_of(
    commitment: Commitment, seed: bytes, shape: Shape, generator: Generator, pixels: np.ndarray
) -> Claim:
    """What an honest bundle claims. pixels: uint8 (H, W, 3)."""
    return Claim(
        root=commitment.root_hex,
        seed=seed.hex(),
        circuit=shape.digest,
        encoder=load_encoder().digest,
        generator=generator.digest,
        render=render_digest(generator),
        image=pixel_digest(pixels),
        ezkl=EZKL_VERSION,
    )


def encode_v(v: tuple[int, ...] | list[int]) -> bytes:
    """512 signed integers of 64 bits, big-endian."""
    return np.array(v, dtype=">i8").tobytes()


def decode_v(data: bytes) -> tuple[int, ...]:
    """The inverse of encode_v. InputError for another length."""
    if len(data) != 8 * V_LENGTH:
        raise InputError(f"v has {len(data)} bytes, not {8 * V_LENGTH}")
    return tuple(np.frombuffer(data, dtype=">i8").tolist())


def serialise_bundle(bundle: Bundle) -> bytes:
    """The bytes of the `.hzp` file."""
    sections = [bundle.commitment, bundle.projection, encode_v(bundle.v), bundle.proof]
    return pack(BUNDLE, asdict(bundle.claim), sections)


def write_bundle(path: Path, bundle: Bundle) -> None:
    """Write the `.hzp` file, whole or not at all."""
    write_atomically(path, serialise_bundle(bundle))


def read_bundle(path: Path) -> Bundle:
    """Read a `.hzp` file; see parse_bundle."""
    return parse_bundle(read_bounded(path, BUNDLE.max_bytes))


def parse_bundle(data: bytes) -> Bundle:
    """Parse a bundle strictly. InputError naming what is malformed; judges no claim."""
    header, (commitment, projection, v, proof) = unpack(BUNDLE, data)
    fields = members(header, (*_DIGESTS, "ezkl"), "the bundle's header")
    for name in _DIGESTS:
        hex_digits(fields[name], f"the bundle's {name}")
    text(fields["ezkl"], "the bundle's ezkl", 32)
    return Bundle(Claim(**fields), commitment, projection, decode_v(v), proof)


def make_bundle(
    claim: Claim, commitment: Commitment, projection: bytes, v: list[int], proof: bytes
) -> Bundle:
    """A bundle of these parts."""
    return Bundle(claim, serialise(commitment), projection, tuple(v), proof)


def committed_in(bundle: Bundle) -> Commitment:
    """The commitment inside. InputError for a malformed one."""
    return parse_commitment(bundle.commitment)


def render_digest(generator: Generator) -> str:
    """SHA-256, hex, of the rendering constants used with ``generator``."""
    constants = generator.default_config.describe()
    # Canonical JSON knows no null: an absent constant is left out.
    described = {key: value for key, value in constants.items() if value is not None}
    return hashlib.sha256(canonical_json(described)).hexdigest()


def pixel_digest(pixels: np.ndarray) -> str:
    """SHA-256, hex, of a picture's size and its uint8 pixels in row order."""
    height, width, channels = pixels.shape
    h = hashlib.sha256(b"".join(n.to_bytes(4, "big") for n in (height, width, channels)))
    h.update(np.ascontiguousarray(pixels, dtype=np.uint8).tobytes())
    return h.hexdigest()
