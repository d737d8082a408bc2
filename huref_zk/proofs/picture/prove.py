"""The prover of pictures: Halo2 proof, projection proof and picture, bound into one bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from huref_zk.argument.projection import projected_rows, prove_projection, serialise_projection
from huref_zk.argument.transcript import Transcript
from huref_zk.circuit import halo2
from huref_zk.circuit.keys import Keys, find_proving
from huref_zk.circuit.shape import CircuitShape
from huref_zk.commitment.commit import Owner, check_owner
from huref_zk.errors import EnvironmentLacks
from huref_zk.invariants.encoder import CONDITIONS
from huref_zk.invariants.quantise import quantised_of
from huref_zk.proofs.kernel import Policy, Setup
from huref_zk.proofs.picture.file import Bundle, claim_of, make_bundle, serialise_bundle
from huref_zk.proofs.picture.verify import ROWS, shape_of, verify_bytes
from huref_zk.proofs.prepare import fingerprint_vector
from huref_zk.render import Generator, render
from huref_zk.srs.file import Srs


def prove(
    owner: Owner,
    seed: bytes,
    srs: Srs,
    cache: Path,
    generator: Generator,
    stage: Callable[[str], None] | None = None,
) -> tuple[Bundle, np.ndarray]:
    """Prove the picture of what ``owner`` committed to; returns (bundle, uint8 (H, W, 3) pixels).

    seed: 32 bytes. The bundle has been verified before it is returned. ``stage`` hears the name of
    each step. Raises InputError when the owner's files do not belong together or a map's norm is
    out of the circuit's range, EnvironmentLacks when the keys have not been derived.
    """
    say = stage or (lambda _: None)
    shape = shape_of(owner.commitment)
    keys = proving_keys(shape, srs, cache, f"setup {shape.hidden}")
    say("fingerprint")
    check_owner(owner, srs)
    v = fingerprint_vector(
        quantised_of(owner.witness.matrices, owner.descriptor.core_sets), shape, seed
    )
    pixels = render(v, generator)
    claim = claim_of(owner.commitment, seed, shape, generator, pixels)
    left, right = projected_rows(owner, seed)
    proof = halo2.prove([*left, *right], [*v, CONDITIONS], keys, srs, say)
    say("projection proof")
    points = halo2.without_blank(halo2.committed_points(proof, ROWS), halo2.blank_point(keys, srs))
    projection = prove_projection(owner, seed, points, Transcript(claim.digest(v)), srs)
    bundle = make_bundle(claim, owner.commitment, serialise_projection(projection), v, proof)
    say("checking the proof")
    verify_bytes(
        serialise_bundle(bundle),
        owner.commitment.root_hex,
        Setup(cache, (srs.sha256,), allow_test=True),
        Policy(seed=seed, recipe=None),
        generator,
        pixels,
    )
    return bundle, pixels


def proving_keys(shape: CircuitShape, srs: Srs, cache: Path, command: str) -> Keys:
    """The keys of ``shape`` in ``cache``; EnvironmentLacks, naming ``command``, without them."""
    keys = find_proving(shape, srs.sha256, cache)
    if keys is None:
        raise EnvironmentLacks(
            f"no proving key for {shape.name} in {cache}; run 'huref-zk {command}' first"
        )
    return keys
