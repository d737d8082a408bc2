"""The prover: two projection proofs and one Halo2 proof, bound to one claim about a pair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huref_zk.argument.projection_proof import serialise_projection
from huref_zk.argument.projection_prover import prove_projection
from huref_zk.argument.transcript import Transcript
from huref_zk.circuit.encoder import P
from huref_zk.circuit.shape import EZKL_VERSION
from huref_zk.commitment.file import Commitment, serialise
from huref_zk.errors import InputError, NotValid
from huref_zk.invariants.prepare import Prepared
from huref_zk.invariants.quantise import integer_maps
from huref_zk.proofs.picture.prove import prove_circuit, proving_keys
from huref_zk.proofs.picture.verify import Policy, shape_of
from huref_zk.proofs.similarity.exact import Range, exactly, holds, sum_of_cosines
from huref_zk.proofs.similarity.file import FORMAT, PairBundle, statement_digest
from huref_zk.proofs.similarity.shape import CONDITIONS, PairShape
from huref_zk.proofs.similarity.verify import PairPolicy, pair_of, verify
from huref_zk.srs.file import Srs


@dataclass(frozen=True)
class Member:
    """One model of a pair as its owner holds it; secret: the 32 bytes of its secret.key."""

    prepared: Prepared
    commitment: Commitment
    secret: bytes


def similarity(pair: PairShape, first: Prepared, second: Prepared, seed: bytes) -> int:
    """6 s in units of 2^-24, as the circuit computes it (exact.sum_of_cosines). InputError."""
    maps = [integer_maps(prepared.quantised, seed, P) for prepared in (first, second)]
    return sum_of_cosines(pair, maps[0], maps[1])


def claim(pair: PairShape, members: tuple[Member, Member], seed: bytes, bounds: Range) -> dict:
    """The header of an honest file, without its lengths."""
    first, second = (m.commitment for m in members)
    return {
        "format": FORMAT,
        "first_root": first.root_hex,
        "second_root": second.root_hex,
        "seed": seed.hex(),
        "circuit": pair.digest,
        "ezkl": EZKL_VERSION,
        "srs": first.descriptor["srs"]["sha256"],
        "low": bounds.low,
        "high": bounds.high,
    }


def prove_similarity(
    members: tuple[Member, Member],
    seed: bytes,
    srs: Srs,
    cache: Path,
    bounds: Range | None = None,
    stage: Callable[[str], None] | None = None,
) -> PairBundle:
    """Prove that the similarity of two committed models lies within ``bounds``.

    bounds: None proves the similarity itself, to the nearest multiple of 2^-16. The bundle has been
    verified before it is returned. ``stage`` hears the name of each step. Raises InputError when
    models, commitments and secrets do not belong together, NotValid when the bounds do not hold,
    EnvironmentLacks when the pair's keys have not been derived.
    """
    say = stage or (lambda _: None)
    first, second = (m.commitment for m in members)
    if first.root == second.root:
        raise InputError("the two commitments are the same; their similarity needs no proof")
    pair = pair_of((first, second))
    for member in members:
        if shape_of(member.commitment) != member.prepared.shape:
            raise InputError("a commitment is one of a model of another shape")
    keys = proving_keys(pair, srs, cache, "setup-similarity")
    say("similarity")
    total = similarity(pair, members[0].prepared, members[1].prepared, seed)
    found = exactly(total)
    bounds = found if bounds is None else bounds
    if not holds(total, bounds):
        raise NotValid(f"{found.words}: there is no proof of {bounds.words}")
    header = claim(pair, members, seed, bounds)
    say("projection proofs")
    projections, rows = [], []
    for model, m in enumerate(members):
        transcript = Transcript(statement_digest(header, model))
        projection, own = prove_projection(
            m.prepared.quantised, m.secret, m.commitment, seed, P, transcript, srs
        )
        projections.append(serialise_projection(projection))
        rows += own
    proof = prove_circuit([*rows, bounds.column], [CONDITIONS], keys, srs, say)
    commitments = (serialise(first), serialise(second))
    bundle = PairBundle(header, commitments, (projections[0], projections[1]), proof)
    say("checking the proof")
    policy = PairPolicy(Policy(seed=seed, allow_test_setup=True, trusted_srs=(srs.sha256,)), bounds)
    verify(bundle, (first.root_hex, second.root_hex), policy, cache)
    return bundle
