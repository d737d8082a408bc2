"""What a projection proof says of the committed matrices, and under which seeds.

The points of a commitment are public, and nothing keeps anybody from committing to them again. A
prover who knows none of the numbers behind them can correct a few, so that for seeds it knows
beforehand the signed sums are rows of its own choice. Such a commitment is accepted. So a proof
under a seed that was known when the commitment was made shows knowledge of P_L E, P_R E and Y only.
Under a seed drawn afterwards it shows knowledge of the committed matrices' projections, which this
prover does not have.
"""

import numpy as np
import pytest

from huref_zk.argument import projection
from huref_zk.argument.projection import SetProof
from huref_zk.commitment.descriptor import block_length, core_columns
from huref_zk.commitment.salts import SALTS
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import R
from huref_zk.invariants.sketch import LEFT, RIGHT, signs
from tests.support.copying import Forgery, both_sides, forge, prove_forged
from tests.support.projecting import (
    SEED,
    STATEMENT,
    check,
    failing,
    points_of,
    prove,
    refused,
    row_points,
)
from tests.support.small_owner import small_owner

K, D = 256, 40
DRAWN_LATER = b"\x2a" * 32


@pytest.fixture(scope="module")
def victim(srs):
    return small_owner(srs, seed=3, count=K, hidden=D, size=90)


@pytest.fixture(scope="module")
def forgery(victim, srs) -> Forgery:
    """Made from the victim's public commitment alone."""
    return forge(victim.commitment, SEED, srs, np.random.default_rng(5))


def test_most_points_are_the_victims(victim, forgery):
    theirs, mine = victim.commitment.points, forgery.commitment.points
    same = {
        name: sum(a == b for a, b in zip(theirs[name], mine[name], strict=True)) for name in theirs
    }
    assert same == {"E": K - LEFT - RIGHT, "C": D - LEFT}
    assert forgery.commitment.root != victim.commitment.root


def test_under_a_known_seed_it_is_accepted(forgery, srs):
    """With rows, hence a picture, of the forger's choice: the commitment's numbers are no part of
    what is proven here, but that somebody knows these rows."""
    points = points_of(forgery.rows, srs)
    proof = prove_forged(forgery, SEED, points, STATEMENT, srs)
    check(forgery.commitment, proof, points, srs)


def test_it_knows_nothing_of_the_rest(forgery, srs):
    """The control: the equations are not satisfied by just any rows."""
    rows = [*forgery.rows[1:], forgery.rows[0]]
    points = points_of(rows[:LEFT], srs) + points_of(forgery.rows[LEFT:], srs)
    proof = prove_forged(forgery, SEED, points, STATEMENT, srs)
    assert failing(forgery.commitment, proof, points, srs) == ["core (C)"]


# --- a seed drawn after the commitment -----------------------------------------------------------


def best_points(forgery: Forgery, seed: bytes, srs) -> list:
    """Row commitments that satisfy all that can be satisfied without knowing a row: <B_i> are sums
    of public points, and <Y_i> are computed from rows X of the forger's."""
    commitment = forgery.commitment
    right = [
        bn254.msm(commitment.points["E"], row.tolist())
        for row in signs(seed, "R", RIGHT, K).astype(int)
    ]
    tail = srs.lagrange(core_columns(D), SALTS)
    left = [projection._image(row, commitment.points["C"], tail) for row in forgery.left]
    return [*left, *right]


def test_the_victim_itself_passes_under_any_seed(victim, srs):
    points = row_points(victim, srs, DRAWN_LATER)
    proof = prove(victim, points, srs, DRAWN_LATER)
    check(victim.commitment, proof, points, srs, DRAWN_LATER)


def test_the_old_rows_do_not_serve(forgery, srs):
    points = points_of(forgery.rows, srs)
    proof = prove_forged(forgery, DRAWN_LATER, points, STATEMENT, srs)
    failed = failing(forgery.commitment, proof, points, srs, DRAWN_LATER)
    assert failed == ["embedding (C)", "right"]


def test_all_but_the_embedding_equation_can_be_met(forgery, srs):
    """The best there is: only what needs knowledge of P_L E is left over, and it fails. (Nor could
    a SNARK be made about <B_i>, whose rows the forger cannot open.)"""
    points = best_points(forgery, DRAWN_LATER, srs)
    proof = prove_forged(forgery, DRAWN_LATER, points, STATEMENT, srs)
    assert failing(forgery.commitment, proof, points, srs, DRAWN_LATER) == ["embedding (C)"]
    refused("embedding", forgery.commitment, proof, points, srs, seed=DRAWN_LATER)


def test_a_first_message_made_to_fit_needs_the_challenge_beforehand(forgery, srs):
    """R is the only free point of the embedding equation, and it is hashed into the challenge."""
    commitment = forgery.commitment
    points = best_points(forgery, DRAWN_LATER, srs)
    guess = [pow(3, i, 1 << 128) for i in range(LEFT)]
    y = [pow(5, t, R) for t in range(block_length(D))]
    weights = (np.array(guess, object) @ signs(DRAWN_LATER, "L", LEFT, K).astype(object)).tolist()
    first = bn254.msm(
        [*srs.lagrange(0, len(y)), *commitment.points["E"]], [*y, *(-int(w) for w in weights)]
    )
    tail = srs.lagrange(core_columns(D), SALTS)
    image = bn254.msm(
        [*commitment.points["C"], *tail, *points[:LEFT]],
        [*y[:D], *y[-SALTS:], *(-g for g in guess)],
    )
    proof = (SetProof(first, image, tuple(y)),)
    with pytest.MonkeyPatch.context() as patch:  # had the challenge been the guess
        patch.setattr(projection, "_draw_rho", lambda transcript, firsts: guess)
        check(commitment, proof, points, srs, seed=DRAWN_LATER)
    refused("equation", commitment, proof, points, srs, seed=DRAWN_LATER)


def test_no_combination_of_new_rows_is_known():
    """Knowing nothing of the victim's points, the forger can open sums of E's points for weights
    within the span of the old seed's 48 sign rows only. New sign rows are independent of those, so
    no challenge but zero asks for a sum that it can open."""
    old, new = both_sides(SEED, K), both_sides(DRAWN_LATER, K)
    assert np.linalg.matrix_rank(np.concatenate([old, new]).astype(float)) == 2 * (LEFT + RIGHT)


def test_several_seeds_known_beforehand_are_no_better(victim, srs):
    """48 corrections a seed: five known seeds of 256 tokens (85 of 4,096) leave hardly a point
    copied, and are forged all the same."""
    seeds = [bytes([n]) * 32 for n in range(5)]
    signs_of_all = np.concatenate([both_sides(seed, K) for seed in seeds]).astype(float)
    assert np.linalg.matrix_rank(signs_of_all) == 5 * (LEFT + RIGHT) < K
