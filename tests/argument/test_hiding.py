"""What a projection proof shows of the weights: as far as a test can tell, nothing."""

from dataclasses import replace

import numpy as np
import pytest

from huref_zk.argument import projection
from huref_zk.argument.projection import SetProof, projected_rows
from huref_zk.commitment.descriptor import core_columns
from huref_zk.commitment.salts import E_SALTS, SALTS
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import R
from huref_zk.invariants.sketch import LEFT, RIGHT, signs
from tests.support.projecting import SEED, check, points_of, prove, refused
from tests.support.small_owner import D, K

RECIPES = ["whole", "last-two"]
each_recipe = pytest.mark.parametrize("recipe", RECIPES)


@each_recipe
def test_masks_are_never_used_twice(owners, honest, srs, recipe):
    """Two responses with one mask and two challenges would give the projected rows away."""
    owner, points = owners[recipe], honest[recipe][2]
    assert prove(owner, points, srs) == honest[recipe][1]  # the same claim, the same proof
    other_points = [*points[:-1], bn254.add(points[-1], bn254.GENERATOR)]
    proofs = [
        honest[recipe][1],
        prove(owner, points, srs, statement=b"another claim"),
        prove(owner, points, srs, seed=bytes(32)),
        prove(owner, other_points, srs),
        prove(replace(owner, secret=bytes(32)), points, srs),
    ]
    firsts = [point for proof in proofs for part in proof for point in (part.mask, part.image)]
    assert len(set(firsts)) == len(firsts)
    numbers = [number for proof in proofs for part in proof for number in part.response]
    assert len(set(numbers)) == len(numbers)


def test_responses_are_full_size(honest):
    for _, proof, _ in honest.values():
        for part in proof:
            assert all(1 << 230 < number < R for number in part.response)
            assert all(R - number > 1 << 230 for number in part.response)


@each_recipe
def test_whoever_knows_no_weights_makes_the_same(honest, srs, recipe):
    """The simulator of the zero-knowledge argument: responses out of nothing, first messages from
    the equations, and the challenge put in their place. No verifier could tell it from a proof."""
    commitment, _, points = honest[recipe]
    descriptor, rng = commitment.descriptor, np.random.default_rng(1)
    rho = [int.from_bytes(rng.bytes(16), "big") for _ in range(LEFT)]
    left = signs(SEED, "L", LEFT, K).astype(object)
    generators, tail = srs.lagrange(0, D + E_SALTS), srs.lagrange(core_columns(D), SALTS)
    proof = []
    for index, name in enumerate(descriptor.core_sets):
        chosen = projection.rows_of_set(descriptor, index)
        y = [int.from_bytes(rng.bytes(48), "big") % R for _ in range(D + E_SALTS)]
        weights = [-int(sum(rho[i] * left[i][k] for i in chosen)) for k in range(K)]
        first = bn254.msm([*generators, *commitment.points["E"]], [*y, *weights])
        image = bn254.msm(
            [*commitment.points[name], *tail, *(points[i] for i in chosen)],
            [*y[:D], *y[-SALTS:], *(-rho[i] for i in chosen)],
        )
        proof.append(SetProof(first, image, tuple(y)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projection, "_draw_rho", lambda transcript, firsts: rho)
        check(commitment, tuple(proof), points, srs)
    refused("equation", commitment, tuple(proof), points, srs)  # the true challenge is another


@each_recipe
def test_row_commitments_do_not_confirm_a_guess(owners, honest, srs, recipe):
    """Who guesses E can compute sum_j X_ij <C_j>; the blinds keep that from being <Y_i>."""
    owner, points = owners[recipe], honest[recipe][2]
    x = signs(SEED, "L", LEFT, K).astype(int) @ owner.witness.matrices["E"]
    key = owner.witness.key(owner.secret)
    blinds = [row[-SALTS:] for row in projection._project(owner, key, SEED, "L")]
    tail = srs.lagrange(core_columns(D), SALTS)
    sets = owner.descriptor.core_sets
    for i in range(LEFT):
        core = owner.commitment.points[sets[i // 16 % len(sets)]]
        guess = bn254.msm(core, [int(v) for v in x[i]])
        assert guess != points[i]
        assert bn254.add(guess, bn254.msm(tail, blinds[i])) == points[i]  # the control


def test_right_rows_do_not_confirm_a_guess(owners, honest, srs):
    """Nor do the own salts of E let <B_i> be the sum of guessed rows."""
    owner, points = owners["whole"], honest["whole"][2]
    b = signs(SEED, "R", RIGHT, K).astype(int) @ owner.witness.matrices["E"]
    guesses = points_of(b.tolist(), srs)
    assert not set(guesses) & set(points)


@each_recipe
def test_no_salts_cancel_between_rows(owners, recipe):
    """Within a side or between them: a difference free of salts would be a row in clear."""
    ys, bs = projected_rows(owners[recipe], SEED)
    tails = (
        [row[-SALTS:] for row in ys] + [row[-SALTS:] for row in bs] + [row[D:-SALTS] for row in bs]
    )
    table = np.array(tails, dtype=object)
    seen = {
        value % R
        for i in range(len(table))
        for j in range(i)
        for difference in (table[i] - table[j], table[i] + table[j])
        for value in difference
    }
    pairs = len(table) * (len(table) - 1) // 2
    assert 0 not in seen and len(seen) == 2 * pairs * SALTS


def rank(seeds, count):
    rows = [signs(bytes([n]) * 32, "L", LEFT, count) for n in range(seeds)]
    return int(np.linalg.matrix_rank(np.concatenate(rows).astype(float)))


@pytest.mark.parametrize("count", [K, 128, 256])
def test_how_many_seeds_one_commitment_bears(count):
    """As long as all left rows of all seeds are independent, so are the sums of blinds in them.
    Rows are balanced, hence of rank count - 1: at 32 rows a seed one fewer than count / 32 seeds
    fit, 127 for 4,096 tokens."""
    fit = (count - 1) // LEFT
    assert rank(fit, count) == LEFT * fit
    assert rank(fit + 1, count) == count - 1 < LEFT * (fit + 1)


def test_left_and_right_signs_of_a_seed_are_independent():
    left, right = signs(SEED, "L", LEFT, 128), signs(SEED, "R", RIGHT, 128)
    assert np.linalg.matrix_rank(np.concatenate([left, right]).astype(float)) == LEFT + RIGHT
    assert not {row.tobytes() for row in left} & {row.tobytes() for row in right}
