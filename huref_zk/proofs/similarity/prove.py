"""The prover: two projection proofs and one circuit proof, bound to one claim about a pair."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from huref_zk.argument.projection import projected_rows, prove_projection, serialise_projection
from huref_zk.argument.transcript import Transcript
from huref_zk.circuit import halo2
from huref_zk.circuit.keys import find_proving
from huref_zk.commitment.commit import Owner, check_owner
from huref_zk.commitment.file import serialise
from huref_zk.errors import EnvironmentLacks, InputError, NotValid
from huref_zk.invariants.quantise import integer_maps, quantised_of
from huref_zk.proofs.kernel import Policy, Setup
from huref_zk.proofs.similarity import columns
from huref_zk.proofs.similarity.exact import Maps, Range, exactly, holds, sum_of_cosines
from huref_zk.proofs.similarity.file import PairBundle, claim_of, serialise_bundle
from huref_zk.proofs.similarity.shape import MODELS, PairShape
from huref_zk.proofs.similarity.verify import pair_of, verify_bytes
from huref_zk.srs.file import Srs

Owners = tuple[Owner, Owner]


def maps_of(owner: Owner, seed: bytes) -> Maps:
    """The six integer maps (16, 16) of what ``owner`` committed to."""
    return integer_maps(quantised_of(owner.witness.matrices, owner.descriptor.core_sets), seed)


def similarity(pair: PairShape, owners: Owners, seed: bytes) -> int:
    """6 s in units of 2^-24, as the circuit computes it (exact.sum_of_cosines). InputError."""
    return sum_of_cosines(pair, maps_of(owners[0], seed), maps_of(owners[1], seed))


def prove_similarity(
    owners: Owners,
    seed: bytes,
    srs: Srs,
    cache: Path,
    bounds: Range | None = None,
    stage: Callable[[str], None] | None = None,
) -> PairBundle:
    """Prove that the similarity of two committed models lies within ``bounds``.

    seed: 32 bytes. bounds: None proves the similarity itself, to the nearest multiple of 2^-16. The
    bundle has been verified before it is returned. ``stage`` hears the name of each step. Raises
    InputError when an owner's files do not belong together, the two cannot be compared or a map's
    size is out of the circuit's range, NotValid when the bounds do not hold, EnvironmentLacks when
    the pair's keys have not been derived.
    """
    say = stage or (lambda _: None)
    first, second = (owner.commitment for owner in owners)
    if first.root == second.root:
        raise InputError("the two commitments are the same; their similarity needs no proof")
    pair = pair_of((first, second))
    keys = find_proving(pair, srs.sha256, cache)
    if keys is None:
        raise EnvironmentLacks(f"no proving key for {pair.name} in {cache}; derive it first")
    say("similarity")
    for owner in owners:
        check_owner(owner, srs)
    maps = [maps_of(owner, seed) for owner in owners]
    total = sum_of_cosines(pair, maps[0], maps[1])
    found = exactly(total)
    bounds = found if bounds is None else bounds
    if not holds(total, bounds):
        raise NotValid(f"{found.words}: there is no proof of {bounds.words}")
    claim = claim_of((first, second), pair, seed, bounds)
    rows = [projected_rows(owner, seed) for owner in owners]
    proof = columns.prove(rows, maps, claim, keys, srs, say)
    say("projection proofs")
    blank = halo2.blank_point(keys, srs)
    projections = []
    for owner, points, name in zip(owners, columns.parse(proof).rows, MODELS, strict=True):
        made = prove_projection(
            owner, seed, halo2.without_blank(points, blank), Transcript(claim.digest(name)), srs
        )
        projections.append(serialise_projection(made))
    bundle = PairBundle(
        claim,
        (serialise(first), serialise(second)),
        (projections[0], projections[1]),
        proof,
    )
    say("checking the proof")
    verify_bytes(
        serialise_bundle(bundle),
        claim.roots,
        Setup(cache, (srs.sha256,), allow_test=True),
        bounds,
        Policy(seed=seed, recipe=None),
    )
    return bundle
