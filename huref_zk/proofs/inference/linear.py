"""The linear relations between an audit's claims and the committed matrices, proven.

Each relation says: for a public combination W = sum_j c_j <row_j> of the rows of U or V, and the
row w that W commits to,

    <w, f> = b        with a public vector f that is zero on the salts' places.

    inputs    x -> Y, the claim Y_i = x_i M for a column block M of U or V, at all positions i:
              c = sum_i rho_i x_i;  f = gamma on M's columns;  b = sum_i rho_i <gamma, Y_i>
    outputs   a -> y, the claim y_i = N a_i for a column block N of V, for all blocks N at once:
              c random;  f = sum_i rho_Ni a_i on N's columns;  b = sum_Ni rho_Ni <c, y_Ni>

with rho, gamma, c random, drawn when all claims are fixed. Were a claim false, the relation would
be a nonzero polynomial of degree 2 in them, which vanishes with probability at most 2^-127.

Proof of a relation, which shows nothing else of w: R = <m>, t = <m, f> for a random row m;
challenge e; response s = m + e w. Checked: <s> = R + e W and <s, f> = t + e b.

Bytes: for each relation R (32 bytes compressed) and t (32 bytes big-endian, below r); then for each
relation s, L + 8 such numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from huref_zk.argument.transcript import Transcript
from huref_zk.commitment.file import Commitment, serialise, side_by_side
from huref_zk.commitment.salts import row_salts, salt_key
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import Point, R
from huref_zk.errors import InputError, StepFailed
from huref_zk.files.container import canonical_json
from huref_zk.invariants.quantise import Quantised
from huref_zk.proofs.inference.claims import Geometry, LayerClaims, serialise_claims
from huref_zk.proofs.inference.file import ids_bytes, proof_bytes, relation_count, response_length
from huref_zk.srs.file import Srs

STEP = 4
_WIDE = 48  # bytes a mask entry is reduced from: a bias below 2^-129
_LIMB = 20  # bits


@dataclass(frozen=True)
class Relation:
    """name: for messages; matrix: 1 is U, 2 is V; rows: c, d ints in [0, r); form: f, L ints in
    [0, r); value: b in [0, r)."""

    name: str
    matrix: int
    rows: tuple[int, ...]
    form: tuple[int, ...]
    value: int


def start_transcript(
    header: dict, commitment: Commitment, ids: tuple[int, ...], claims: tuple[LayerClaims, ...]
) -> Transcript:
    """Everything that is claimed, hashed."""
    transcript = Transcript(b"huref-zk inference audit 1")
    transcript.absorb("header", canonical_json(header))
    transcript.absorb("root", commitment.root.to_bytes(32, "big"))
    transcript.absorb("commitment", serialise(commitment))
    transcript.absorb("ids", ids_bytes(ids))
    transcript.absorb("claims", serialise_claims(claims))
    return transcript


def relations(
    geometry: Geometry, claims: Sequence[LayerClaims], transcript: Transcript
) -> list[Relation]:
    """The relations that the claims must satisfy, with challenges drawn from the transcript."""
    found = []
    for i, layer in enumerate(claims):
        a, b, f = (geometry.block(i, term) for term in "abf")
        number = geometry.layers[i]
        for name, matrix, x, outputs in (
            ("q and v", 1, layer.x_att, [(a, layer.q), (b, layer.v)]),
            ("up", 1, layer.x_ffn, [(f, layer.up)]),
            ("k", 2, layer.x_att, [(a, layer.k)]),
        ):
            title = f"{name} of layer {number}"
            found.append(_inputs(geometry, title, matrix, x, outputs, transcript))
    found.append(_outputs(geometry, claims, transcript))
    assert len(found) == relation_count(geometry)
    return found


def _inputs(
    geometry: Geometry,
    name: str,
    matrix: int,
    x: np.ndarray,
    outputs: list[tuple[slice, np.ndarray]],
    transcript: Transcript,
) -> Relation:
    rho = transcript.challenges(f"rho of {name}", len(x))
    form, value = [0] * geometry.length, 0
    for block, claimed in outputs:
        gamma = transcript.challenges(f"gamma of {name}", claimed.shape[1])
        form[block] = gamma
        value += _dot(_combine(claimed, rho), gamma)
    return Relation(name, matrix, tuple(_combine(x, rho)), tuple(form), value % R)


def _outputs(geometry: Geometry, claims: Sequence[LayerClaims], transcript: Transcript) -> Relation:
    rows = transcript.challenges("rows", geometry.hidden)
    form, value = [0] * geometry.length, 0
    for i, layer in enumerate(claims):
        for term, given, claimed in (("b", layer.a, layer.att), ("f", layer.mid, layer.ffn)):
            rho = transcript.challenges(f"rho of outputs {i}{term}", len(given))
            form[geometry.block(i, term)] = _combine(given, rho)
            value += _dot(_combine(claimed, rho), rows)
    return Relation("attention and FFN outputs", 2, tuple(rows), tuple(form), value % R)


def _combine(values: np.ndarray, weights: Sequence[int]) -> list[int]:
    """sum_i weights_i values_i mod r, for integers (N, n): n ints in [0, r)."""
    totals = [0] * values.shape[1]
    for weight, row in zip(weights, values.tolist(), strict=True):
        totals = [t + weight * v for t, v in zip(totals, row, strict=True)]
    return [t % R for t in totals]


def _dot(a: Sequence[int], b: Sequence[int]) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True))


# --- the prover ----------------------------------------------------------------------------------


def prove_linear(
    quantised: Quantised,
    secret: bytes,
    commitment: Commitment,
    geometry: Geometry,
    claims: tuple[LayerClaims, ...],
    transcript: Transcript,
    srs: Srs,
) -> bytes:
    """The proof's bytes; transcript: as start_transcript left it.

    InputError when model, secret and commitment do not belong together. Claims are not checked
    here: a false one gives a proof that fails.
    """
    matrices = side_by_side(quantised)
    key = salt_key(secret, matrices)
    salts = [row_salts(key, index, len(matrix)) for index, matrix in enumerate(matrices)]
    generators = srs.lagrange(0, response_length(geometry))
    for index, points in ((1, commitment.U_points), (2, commitment.V_points)):
        first = [int(n) for n in matrices[index][0]] + salts[index][0]
        if len(first) != len(generators) or bn254.msm(generators, first) != points[0]:
            raise InputError(
                "the commitment is not one of this model under this secret; "
                "use the files that 'commit' wrote for it"
            )
    todo = relations(geometry, claims, transcript)
    masks = [_mask(secret, key, transcript, i, len(generators)) for i in range(len(todo))]
    firsts = [
        (bn254.msm(generators, mask), _dot(mask[: geometry.length], relation.form) % R)
        for mask, relation in zip(masks, todo, strict=True)
    ]
    e = _challenge(transcript, firsts)
    responses = []
    for mask, relation in zip(masks, todo, strict=True):
        row = combined_row(matrices[relation.matrix], salts[relation.matrix], relation.rows)
        responses += [(m + e * w) % R for m, w in zip(mask, row, strict=True)]
    parts = [bn254.compress(point) + t.to_bytes(32, "big") for point, t in firsts]
    return b"".join(parts) + b"".join(s.to_bytes(32, "big") for s in responses)


def combined_row(matrix: np.ndarray, salts: list[list[int]], weights: Sequence[int]) -> list[int]:
    """sum_j weights_j (row j of the matrix | its salts) mod r.

    The weights are cut in limbs of 20 bits, whose products with 16-bit integers add up in int64
    without overflow for up to 2^27 rows.
    """
    limbs = -(-R.bit_length() // _LIMB)
    mask = (1 << _LIMB) - 1
    cut = np.array([[w >> (_LIMB * n) & mask for w in weights] for n in range(limbs)], np.int64)
    products = (cut @ matrix.astype(np.int64)).tolist()
    values = [
        sum(part << (_LIMB * n) for n, part in enumerate(column)) % R
        for column in zip(*products, strict=True)
    ]
    return values + [_dot(column, weights) % R for column in zip(*salts, strict=True)]


def _mask(secret: bytes, key: bytes, transcript: Transcript, index: int, length: int) -> list[int]:
    """m, derived as in project/prover.py: never the same under two different challenges."""
    start = b"huref-zk audit mask 1" + secret + key + transcript.digest() + bytes([index])
    stream = hashlib.shake_256(start).digest(_WIDE * length)
    return [int.from_bytes(stream[i : i + _WIDE], "big") % R for i in range(0, len(stream), _WIDE)]


def _challenge(transcript: Transcript, firsts: Sequence[tuple[Point, int]]) -> int:
    transcript.absorb_points("R", [point for point, _ in firsts])
    transcript.absorb("t", b"".join(t.to_bytes(32, "big") for _, t in firsts))
    return transcript.challenges("e", 1)[0]


# --- the verifier --------------------------------------------------------------------------------


def verify_linear(
    commitment: Commitment,
    geometry: Geometry,
    claims: tuple[LayerClaims, ...],
    proof: bytes,
    transcript: Transcript,
    srs: Srs,
) -> int:
    """Check the proof; returns how many relations hold.

    StepFailed(4) names the relation that does not; InputError for malformed bytes.
    """
    firsts, responses = _parse_proof(proof, geometry)
    todo = relations(geometry, claims, transcript)
    e = _challenge(transcript, firsts)
    transcript.absorb("proof", proof)
    weights = transcript.challenges("batch", len(todo))
    for (_, t), s, relation in zip(firsts, responses, todo, strict=True):
        if (_dot(s[: geometry.length], relation.form) - t - e * relation.value) % R:
            raise StepFailed(STEP, f"{relation.name}: not what the committed weights give")
    generators = srs.lagrange(0, response_length(geometry))
    points = (commitment.E_points, commitment.U_points, commitment.V_points)

    def holds(factors: Sequence[int]) -> bool:
        """Whether the combination of all <s> = R + e W with these factors holds."""
        scalars = _combine_big(responses, factors)
        terms = [*generators, *(point for point, _ in firsts)]
        scalars += [-factor for factor in factors]
        for matrix in (1, 2):
            chosen = [(f, r) for f, r in zip(factors, todo, strict=True) if r.matrix == matrix]
            terms += points[matrix]
            scalars += [
                -e * c for c in _combine_big([r.rows for _, r in chosen], [f for f, _ in chosen])
            ]
        return bn254.msm(terms, scalars) is None

    if holds(weights):
        return len(todo)
    for index, relation in enumerate(todo):
        if not holds([int(i == index) for i in range(len(todo))]):
            raise StepFailed(STEP, f"{relation.name}: the response is not of the committed rows")
    raise StepFailed(STEP, "the linear proof does not hold")


def _combine_big(rows: Sequence[Sequence[int]], weights: Sequence[int]) -> list[int]:
    return [_dot(column, weights) % R for column in zip(*rows, strict=True)]


def _parse_proof(
    proof: bytes, geometry: Geometry
) -> tuple[list[tuple[Point, int]], list[list[int]]]:
    if len(proof) != proof_bytes(geometry):
        raise InputError(f"the linear proof has {len(proof)} bytes, not {proof_bytes(geometry)}")
    count, length = relation_count(geometry), response_length(geometry)
    points = [bn254.decompress(proof[64 * i : 64 * i + 32]) for i in range(count)]
    places = [64 * i + 32 for i in range(count)]
    places += range(64 * count, len(proof), 32)
    numbers = [int.from_bytes(proof[i : i + 32], "big") for i in places]
    if any(number >= R for number in numbers):
        raise InputError("the linear proof holds a number that is no canonical field element")
    rest = numbers[count:]
    responses = [rest[i * length : (i + 1) * length] for i in range(count)]
    return list(zip(points, numbers[:count], strict=True)), responses
