from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from huref_zk.argument import projection_prover as prover
from huref_zk.argument import projection_verifier as verifier
from huref_zk.argument.projection_proof import (
    ProjectionProof,
    absorb_claim,
    draw_rho,
    serialise_projection,
)
from huref_zk.argument.projection_prover import prove_projection
from huref_zk.argument.projection_verifier import parse_projection, verify_projection
from huref_zk.argument.transcript import Transcript
from huref_zk.commitment.salts import E_SALTS, SALTS
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import GENERATOR, R
from huref_zk.errors import InputError, StepFailed
from huref_zk.invariants.quantise import projected
from huref_zk.invariants.sketch import signs
from huref_zk.srs.file import Srs
from huref_zk.srs.insecure import insecure_srs as make_test_srs
from tests.support.small_model import SECRET, D, K, make_model

P = 4
SEED = b"\x07" * 32
STATEMENT = b"what is claimed"


def points_of(rows, commitment, srs):
    """Commitments to the rows by definition."""
    generators = srs.lagrange(0, commitment.length + SALTS)
    return [bn254.msm(generators, row) for row in rows]


@pytest.fixture(scope="module")
def honest(model, commitment, srs):
    """(proof, row points) of an honest prover."""
    proof, rows = prove_projection(model, SECRET, commitment, SEED, P, Transcript(STATEMENT), srs)
    return proof, points_of(rows, commitment, srs)


def check(commitment, proof, points, srs, seed=SEED, p=P, statement=STATEMENT):
    verify_projection(commitment, seed, p, proof, points, Transcript(statement), srs)


def failing(commitment, proof, points, srs):
    """Names of the equations that do not hold."""
    transcript = Transcript(STATEMENT)
    absorb_claim(transcript, commitment, SEED, P, points)
    rhos = draw_rho(transcript, [(s.mask, s.image) for s in proof.sides], P)
    equations = verifier._equations(commitment, SEED, P, proof, points, rhos, srs)
    return [name for name, terms in equations if not verifier._is_zero(terms)]


def refused(words, *args, **kwargs):
    with pytest.raises(StepFailed, match=words) as caught:
        check(*args, **kwargs)
    assert caught.value.step == 4


def test_honest_proof_verifies(commitment, honest, srs):
    check(commitment, *honest, srs)
    assert failing(commitment, *honest, srs) == []


def test_rows_are_the_projected_matrices(model, commitment, srs):
    _, rows = prove_projection(model, SECRET, commitment, SEED, P, Transcript(b""), srs)
    a, b = projected(model, SEED, P)
    values = np.array([row[: commitment.length] for row in rows])
    assert (values == np.concatenate([a, b])).all()
    left = signs(SEED, "L", P, K).astype(int) @ model.E
    assert (values[:P] == left @ np.concatenate(model.U, axis=1)).all()
    assert all(len(row) == commitment.length + SALTS for row in rows)
    salts = [salt for row in rows for salt in row[commitment.length :]]
    assert len(set(salts)) == len(salts) and all(0 <= s < R for s in salts)


def test_bytes_round_trip(commitment, honest):
    proof, _ = honest
    data = serialise_projection(proof)
    assert len(data) == 128 + 64 * (D + E_SALTS)
    assert parse_projection(data, commitment) == proof


def test_malformed_bytes(commitment, honest):
    data = serialise_projection(honest[0])
    for bad, words in [
        (b"", "bytes, not"),
        (data[:-1], "bytes, not"),
        (data + b"\0", "bytes, not"),
        (b"\x3f" * 32 + data[32:], "malformed compressed point"),
        (data[:128] + R.to_bytes(32, "big") + data[160:], "canonical field element"),
        (data[:-32] + b"\xff" * 32, "canonical field element"),
    ]:
        with pytest.raises(InputError, match=words):
            parse_projection(bad, commitment)
    largest = data[:-32] + (R - 1).to_bytes(32, "big")
    assert parse_projection(largest, commitment).sides[1].response[-1] == R - 1  # the control


def test_response_plus_r_is_not_another_encoding(commitment, honest):
    """y and y + r are the same number mod r; only the canonical one may be written."""
    data = serialise_projection(honest[0])
    assert parse_projection(data, commitment)  # the control
    first = int.from_bytes(data[128:160], "big") + R
    with pytest.raises(InputError, match="canonical"):
        parse_projection(data[:128] + first.to_bytes(32, "big") + data[160:], commitment)


@pytest.mark.parametrize(("side", "name"), [(0, "L"), (1, "R")])
def test_embedding_equation_broken_alone(model, commitment, srs, monkeypatch, side, name):
    """A prover who projects other embeddings than the committed ones, and is honest otherwise."""
    honest_project, calls = prover._project, []

    def cheat(*args):
        rows = honest_project(*args)
        calls.append(1)
        if len(calls) == side + 1:
            rows[1][2] += 1
        return rows

    monkeypatch.setattr(prover, "_project", cheat)
    points = recorded_points(monkeypatch)
    proof, _ = prove_projection(model, SECRET, commitment, SEED, P, Transcript(STATEMENT), srs)
    assert failing(commitment, proof, points, srs) == [f"embedding equation (E) of side {name}"]
    refused(rf"embedding equation \(E\) of side {name}", commitment, proof, points, srs)


def recorded_points(monkeypatch):
    """The row commitments the prover hashes, as they come out of prover._image."""
    points = []
    honest_absorb = prover.absorb_claim

    def absorb(transcript, commitment, seed, p, row_points):
        points.extend(row_points)
        honest_absorb(transcript, commitment, seed, p, row_points)

    monkeypatch.setattr(prover, "absorb_claim", absorb)
    return points


@pytest.mark.parametrize(("side", "name"), [(0, r"\(U\) of side L"), (1, r"\(V\) of side R")])
def test_factor_equation_broken_alone(model, commitment, srs, monkeypatch, side, name):
    """A prover who puts one changed number into one projected row, and is honest otherwise."""
    honest_image, calls = prover._image, []

    def cheat(*args):
        calls.append(1)
        point = honest_image(*args)
        if len(calls) == side * P + 2:
            return bn254.add(point, srs.lagrange(3, 1)[0])  # entry 3 of row 1 plus one
        return point

    monkeypatch.setattr(prover, "_image", cheat)
    points = recorded_points(monkeypatch)
    proof, _ = prove_projection(model, SECRET, commitment, SEED, P, Transcript(STATEMENT), srs)
    (broken,) = failing(commitment, proof, points, srs)
    assert broken.startswith("factor equation")
    refused(name, commitment, proof, points, srs)


def test_rows_swapped(commitment, honest, srs):
    proof, points = honest
    check(commitment, proof, points, srs)  # the control
    for i, j in ((0, 1), (P, P + 1), (0, P)):
        swapped = list(points)
        swapped[i], swapped[j] = points[j], points[i]
        refused("equation", commitment, proof, swapped, srs)


def test_sides_swapped(commitment, honest, srs):
    proof, points = honest
    crossed = ProjectionProof((proof.sides[1], proof.sides[0]))
    refused("equation", commitment, crossed, points, srs)
    refused("equation", commitment, proof, points[P:] + points[:P], srs)
    refused("equation", commitment, crossed, points[P:] + points[:P], srs)
    uv = replace(commitment, U_points=commitment.V_points, V_points=commitment.U_points)
    refused("equation", uv, crossed, points[P:] + points[:P], srs)


def test_a_prover_who_swaps_sides_from_the_start(model, commitment, committing, srs):
    """Rows of (P_L E) V and (P_R E) U, proven over the honest commitment."""
    swapped = replace(model, U=model.V, V=model.U)
    theirs = committing(swapped)
    proof, rows = prove_projection(swapped, SECRET, theirs, SEED, P, Transcript(STATEMENT), srs)
    points = points_of(rows, theirs, srs)
    check(theirs, proof, points, srs)  # the control: true of the other model
    refused("equation", commitment, proof, points, srs)


@pytest.mark.parametrize(
    "change",
    [{"seed": b"\x08" * 32}, {"statement": b"another claim"}],
)
def test_bound_to_seed_and_statement(commitment, honest, srs, change):
    check(commitment, *honest, srs)  # the control
    refused("equation", commitment, *honest, srs, **change)


@pytest.mark.parametrize("matrix", ["E", "U", "V"])
def test_one_weight_changed(model, committing, commitment, srs, matrix):
    """The proof of a model that differs in one weight, under the commitment of the original."""
    other = make_model()
    target = other.E if matrix == "E" else getattr(other, matrix)[1]
    target[3, 1] += 1
    theirs = committing(other)
    proof, rows = prove_projection(other, SECRET, theirs, SEED, P, Transcript(STATEMENT), srs)
    points = points_of(rows, theirs, srs)
    check(theirs, proof, points, srs)  # the control
    refused("equation", commitment, proof, points, srs)
    with pytest.raises(InputError, match="not one of this model"):
        prove_projection(other, SECRET, commitment, SEED, P, Transcript(STATEMENT), srs)


def test_one_committed_point_changed(commitment, honest, srs):
    proof, points = honest
    for field in ("E_points", "U_points", "V_points"):
        group = list(getattr(commitment, field))
        group[2] = bn254.add(group[2], GENERATOR)
        changed = replace(commitment, **{field: tuple(group)})
        refused("equation", changed, proof, points, srs)


def test_the_root_is_bound(commitment, honest, srs):
    refused("equation", replace(commitment, root=commitment.root ^ 1), *honest, srs)


@given(st.integers(0, 1), st.integers(0, D + E_SALTS - 1), st.integers(1, R - 1))
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_response_entry_counts(commitment, honest, srs, side, place, by):
    proof, points = honest
    response = list(proof.sides[side].response)
    response[place] = (response[place] + by) % R
    sides = list(proof.sides)
    sides[side] = replace(sides[side], response=tuple(response))
    refused("equation", commitment, ProjectionProof(tuple(sides)), points, srs)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("field", ["mask", "image"])
def test_first_messages_count(commitment, honest, srs, side, field):
    proof, points = honest
    sides = list(proof.sides)
    for other in (None, GENERATOR, proof.sides[1 - side].mask):
        sides[side] = replace(proof.sides[side], **{field: other})
        refused("equation", commitment, ProjectionProof(tuple(sides)), points, srs)


def test_rows_that_commit_to_nothing(commitment, honest, srs):
    refused("equation", commitment, honest[0], [None] * (2 * P), srs)


def test_arguments_must_belong_together(model, commitment, honest, srs, tmp_path):
    proof, points = honest
    with pytest.raises(InputError, match="8 row commitments"):
        check(commitment, proof, points[:-1], srs)
    with pytest.raises(InputError, match="10 row commitments"):
        check(commitment, proof, points, srs, p=P + 1)
    with pytest.raises(InputError, match="32 bytes"):
        check(commitment, proof, points, srs, seed=b"short")
    other = Srs.open(make_test_srs(7, tmp_path / "7.srs"))
    with pytest.raises(InputError, match="another SRS"):
        check(commitment, proof, points, other)
    with pytest.raises(InputError, match="another SRS"):
        prove_projection(model, SECRET, commitment, SEED, P, Transcript(STATEMENT), other)
    with pytest.raises(InputError, match="not one of this model under this secret"):
        prove_projection(model, bytes(32), commitment, SEED, P, Transcript(STATEMENT), srs)


# --- hiding --------------------------------------------------------------------------------------


def test_masks_never_repeat_under_different_challenges(model, commitment, honest, srs):
    """Two responses with one mask and two challenges would give the projected rows away."""

    def prove(statement=STATEMENT, seed=SEED, p=P):
        return prove_projection(model, SECRET, commitment, seed, p, Transcript(statement), srs)[0]

    assert prove() == honest[0]  # deterministic
    proofs = [prove(), prove(statement=b"other"), prove(seed=bytes(32)), prove(p=P + 1)]
    masks = [side.mask for proof in proofs for side in proof.sides]
    assert len(set(masks)) == len(masks)


def test_row_commitments_do_not_confirm_a_guess(model, commitment, honest, srs):
    """Who guesses E can compute sum_j X_ij <U_j>; the blinds keep that from being <A_i>."""
    _, points = honest
    for name, group, first in (("L", commitment.U_points, 0), ("R", commitment.V_points, P)):
        x = signs(SEED, name, P, K).astype(int) @ model.E
        for i in range(P):
            guess = bn254.msm(group, [int(v) for v in x[i]])
            assert guess != points[first + i]
    # The control: the difference is exactly the blinds, so with them the guess is right.
    rows = prove_projection(model, SECRET, commitment, SEED, P, Transcript(STATEMENT), srs)[1]
    assert points_of(rows, commitment, srs) == points


def test_blinds_differ_between_sides_and_rows(model, commitment, srs):
    """With equal factors on both sides, no blind may cancel in any difference of rows."""
    rows = prove_projection(model, SECRET, commitment, SEED, P, Transcript(STATEMENT), srs)[1]
    salts = np.array([row[commitment.length :] for row in rows], dtype=object)
    differences = {
        int((salts[i][t] - salts[j][t]) % R)
        for i in range(2 * P)
        for j in range(i)
        for t in range(SALTS)
    }
    assert 0 not in differences and len(differences) == 2 * P * (2 * P - 1) // 2 * SALTS
