"""The prover: projection proof, Halo2 proof, and the picture, bound into one bundle."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from huref_zk.argument.projection_proof import serialise_projection
from huref_zk.argument.projection_prover import prove_projection
from huref_zk.argument.transcript import Transcript
from huref_zk.circuit import keys as circuit_keys
from huref_zk.circuit.encoder import P
from huref_zk.circuit.shape import CircuitShape
from huref_zk.commitment.file import Commitment, serialise
from huref_zk.curve.bn254 import R
from huref_zk.errors import EnvironmentLacks, HurefError, InputError
from huref_zk.invariants.prepare import Prepared, fingerprint_vector
from huref_zk.native import ezkl as runner
from huref_zk.proofs.picture.file import Bundle
from huref_zk.proofs.picture.statement import claim, statement_digest
from huref_zk.proofs.picture.verify import Policy, shape_of, verify
from huref_zk.render import Generator, render
from huref_zk.srs.file import Srs


def prove(
    prepared: Prepared,
    commitment: Commitment,
    secret: bytes,
    seed: bytes,
    srs: Srs,
    cache: Path,
    generator: Generator,
    stage: Callable[[str], None] | None = None,
) -> tuple[Bundle, np.ndarray]:
    """Prove the fingerprint of ``prepared`` under ``commitment``; returns (bundle, uint8 pixels).

    The bundle has been verified before it is returned. ``stage`` hears the name of each step.
    Raises InputError when model, commitment and secret do not belong together, EnvironmentLacks
    when the keys of the shape have not been derived.
    """
    say = stage or (lambda _: None)
    shape = shape_of(commitment)
    if shape != prepared.shape:
        raise InputError("the commitment is one of a model of another shape")
    keys = proving_keys(shape, srs, cache, "setup")
    say("fingerprint")
    v = fingerprint_vector(prepared, seed)
    pixels = render(v, generator)
    header = claim(commitment, seed, shape, generator, pixels)
    say("projection proof")
    transcript = Transcript(statement_digest(header, v))
    projection, rows = prove_projection(
        prepared.quantised, secret, commitment, seed, P, transcript, srs
    )
    proof = prove_circuit(rows, v, keys, srs, say)
    bundle = Bundle(
        header, serialise(commitment), serialise_projection(projection), tuple(v), proof
    )
    say("checking the proof")
    policy = Policy(seed=seed, allow_test_setup=True, trusted_srs=(srs.sha256,))
    verify(bundle, commitment.root_hex, pixels, policy, cache, generator)
    return bundle, pixels


def proving_keys(shape: CircuitShape, srs: Srs, cache: Path, command: str) -> circuit_keys.Keys:
    """The keys of ``shape`` in ``cache``; EnvironmentLacks, naming ``command``, without them."""
    keys = circuit_keys.find_proving(shape, srs.sha256, cache)
    if keys is None:
        raise EnvironmentLacks(
            f"no proving key for {shape.name} in {cache}; run 'huref-zk {command}' first"
        )
    return keys


def prove_circuit(
    rows: list[list[int]],
    v: list[int],
    keys: circuit_keys.Keys,
    srs: Srs,
    say: Callable[[str], None],
) -> bytes:
    """The Halo2 proof that the circuit of ``keys`` computes ``v`` from the committed ``rows``.

    rows: the circuit's inputs in order, for a fingerprint the 2 P rows of prove_projection.
    """
    with tempfile.TemporaryDirectory(prefix="huref-zk-") as name:
        folder = Path(name)
        inputs, witness, proof = (
            folder / "input.json",
            folder / "witness.json",
            folder / "proof.json",
        )
        data = [[(x % R).to_bytes(32, "little").hex() for x in row] for row in rows]
        inputs.write_text(json.dumps({"input_data": data}))
        say("witness")
        runner.run(
            "gen_witness",
            data=inputs,
            model=keys.circuit,
            output=witness,
            vk_path=keys.vk,
            srs_path=srs.path,
        )
        (outputs,) = json.loads(witness.read_text())["outputs"]
        found = [int.from_bytes(bytes.fromhex(x), "little") for x in outputs]
        if found != [x % R for x in v]:
            raise HurefError(
                "the circuit computes another output than this program; please report this"
            )
        say("circuit proof")
        runner.run(
            "prove",
            witness=witness,
            model=keys.circuit,
            pk_path=keys.pk,
            proof_path=proof,
            srs_path=srs.path,
        )
        return bytes(json.loads(proof.read_text())["proof"])
