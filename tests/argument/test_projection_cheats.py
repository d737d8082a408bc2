"""Provers who deviate in one respect and are honest in the others: which equation finds them."""

from dataclasses import replace

import pytest

from huref_zk.argument import projection
from huref_zk.argument.projection import projected_rows
from huref_zk.commitment.commit import Owner, commit
from huref_zk.commitment.descriptor import core_columns
from huref_zk.commitment.salts import SALTS
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import R
from huref_zk.errors import InputError
from huref_zk.invariants.sketch import GROUP, LEFT
from tests.support.projecting import SEED, check, failing, points_of, prove, row_points
from tests.support.small_owner import D, K, small_owner

RECIPES = ["whole", "last-two"]
each_recipe = pytest.mark.parametrize("recipe", RECIPES)


@pytest.fixture
def judge(owners, honest, srs):
    """The equations that fail for a prover of this recipe over these row points."""

    def equations(recipe, points=None, **patches):
        commitment, proof, honest_points = honest[recipe]
        check(commitment, proof, honest_points, srs)  # the control
        points = honest_points if points is None else points
        with pytest.MonkeyPatch.context() as patch:
            for name, function in patches.items():
                patch.setattr(projection, f"_{name}", function)
            made = prove(owners[recipe], points, srs)
        failed = failing(commitment, made, points, srs)
        with pytest.raises(InputError, match="equation does not hold"):
            check(commitment, made, points, srs)
        return failed

    return equations


def changed(points, index, by):
    return [*points[:index], bn254.add(points[index], by), *points[index + 1 :]]


def set_of(recipe, row):
    return "C" if recipe == "whole" else f"C{row // GROUP}"


# --- each equation alone -------------------------------------------------------------------------


@each_recipe
@pytest.mark.parametrize("row", [0, GROUP - 1, GROUP, LEFT - 1])
def test_the_core_equation_alone(judge, honest, srs, recipe, row):
    """One number of one projected row is another one, a salt's or a value's."""
    points = honest[recipe][2]
    for place in (0, 3, core_columns(D), core_columns(D) + SALTS - 1):
        moved = changed(points, row, srs.lagrange(place, 1)[0])
        assert judge(recipe, moved) == [f"core ({set_of(recipe, row)})"]


@each_recipe
@pytest.mark.parametrize("row", [0, GROUP, LEFT - 1])
@pytest.mark.parametrize("place", [0, D, D + SALTS])
def test_the_embedding_equation_alone(judge, owners, srs, recipe, row, place):
    """The rows of another X, projected honestly: a value, an own salt or a blind is another."""
    honest_project = projection._project

    def project(owner, key, seed, side):
        rows = honest_project(owner, key, seed, side)
        if side == "L":
            rows[row] = [*rows[row]]
            rows[row][place] += 1
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projection, "_project", project)
        points = row_points(owners[recipe], srs)
    assert judge(recipe, points, project=project) == [f"embedding ({set_of(recipe, row)})"]


@each_recipe
@pytest.mark.parametrize("row", [0, 15])
@pytest.mark.parametrize("place", [0, D, D + 2 * SALTS - 1])
def test_the_right_equation_alone(judge, honest, srs, recipe, row, place):
    moved = changed(honest[recipe][2], LEFT + row, srs.lagrange(place, 1)[0])
    assert judge(recipe, moved) == ["right"]


# --- what else a prover might do -----------------------------------------------------------------


def with_rows(owner, srs, change):
    """Points of the projected rows after change(left, right)."""
    left, right = projected_rows(owner, SEED)
    change(left, right)
    return points_of([*left, *right], srs)


@each_recipe
def test_a_row_twice(judge, owners, srs, recipe):
    def twice(left, right):
        left[1] = left[0]

    def twice_right(left, right):
        right[1] = right[0]

    assert judge(recipe, with_rows(owners[recipe], srs, twice)) == [f"core ({set_of(recipe, 1)})"]
    assert judge(recipe, with_rows(owners[recipe], srs, twice_right)) == ["right"]


@each_recipe
def test_rows_exchanged_between_groups(judge, owners, srs, recipe):
    def exchange(left, right):
        left[3], left[GROUP + 3] = left[GROUP + 3], left[3]

    names = {set_of(recipe, row) for row in (3, GROUP + 3)}
    failed = judge(recipe, with_rows(owners[recipe], srs, exchange))
    assert failed == [f"core ({name})" for name in sorted(names)]


def test_a_group_through_the_other_set(judge, owners, srs):
    """Both groups projected through C0, as if the model's last layer were its last but one."""
    owner = owners["last-two"]
    matrices = {**owner.witness.matrices, "C1": owner.witness.matrices["C0"]}
    other = replace(owner, witness=replace(owner.witness, matrices=matrices))
    assert judge("last-two", row_points(other, srs)) != []
    honest_salts = owner.witness.key(owner.secret)
    with pytest.MonkeyPatch.context() as patch:  # the same, with the committed salts
        patch.setattr(type(owner.witness), "key", lambda self, secret: honest_salts)
        points = row_points(other, srs)
    assert judge("last-two", points) == ["core (C1)"]


@each_recipe
def test_no_blinds(judge, owners, srs, recipe):
    """Rows without E's blinds would be confirmed by whoever guesses E."""
    owner = owners[recipe]
    key = owner.witness.key(owner.secret)
    rows = projection._project(owner, key, SEED, "L")

    def bare(left, right):
        for y, x in zip(left, rows, strict=True):
            y[-SALTS:] = [(a - b) % R for a, b in zip(y[-SALTS:], x[-SALTS:], strict=True)]

    names = owner.descriptor.core_sets
    failed = judge(recipe, with_rows(owner, srs, bare))
    assert failed == [f"core ({name})" for name in names]

    def zeroed(owner, key, seed, side, honest=projection._project):
        found = honest(owner, key, seed, side)
        return [row[:-SALTS] + [0] * SALTS for row in found] if side == "L" else found

    points = with_rows(owner, srs, bare)
    failed = judge(recipe, points, project=zeroed)
    assert failed == [f"embedding ({name})" for name in names]


@each_recipe
def test_other_salts(judge, owners, srs, recipe):
    """The right numbers under salts of one's own choice: not the committed ones' sums."""

    def resalted(left, right):
        left[5][-1] = (left[5][-1] + 1) % R
        right[5][D] = (right[5][D] + 1) % R
        right[6][-1] = (right[6][-1] + 1) % R

    failed = judge(recipe, with_rows(owners[recipe], srs, resalted))
    assert failed == [f"core ({set_of(recipe, 5)})", "right"]


@each_recipe
def test_signs_of_another_seed(judge, owners, srs, recipe):
    """Everything of another seed, under which the picture is a nicer one, but for the claim."""
    other = b"\x08" * 32
    honest_project = projection._project
    names = owners[recipe].descriptor.core_sets
    points = row_points(owners[recipe], srs, other)

    def project(owner, key, seed, side):
        return honest_project(owner, key, other, side)

    failed = judge(recipe, points, project=project)
    assert failed == [*(f"embedding ({name})" for name in names), "right"]


@each_recipe
def test_left_signs_on_the_right(judge, owners, honest, srs, recipe):
    key = owners[recipe].witness.key(owners[recipe].secret)
    rows = projection._project(owners[recipe], key, SEED, "L")[:16]
    points = [*honest[recipe][2][:LEFT], *points_of(rows, srs)]
    assert judge(recipe, points) == ["right"]


@each_recipe
def test_another_mask_than_was_sent(judge, owners, recipe):
    names = owners[recipe].descriptor.core_sets
    honest_image = projection._image

    def image(row, cores, tail):
        return honest_image([row[0] + 1, *row[1:]], cores, tail)

    assert judge(recipe, image=image) == [f"core ({name})" for name in names]


@each_recipe
def test_a_response_of_zero(owners, honest, srs, recipe):
    """Masks that cancel the rows for a guessed challenge; the true one is a hash of the masks."""
    commitment, _, points = honest[recipe]
    owner = owners[recipe]
    descriptor = owner.descriptor
    key = owner.witness.key(owner.secret)
    left = projection._project(owner, key, SEED, "L")
    guess = [1] * LEFT
    generators, tail = srs.lagrange(0, D + 2 * SALTS), srs.lagrange(core_columns(D), SALTS)
    proof = []
    for index, name in enumerate(descriptor.core_sets):
        chosen = projection.rows_of_set(descriptor, index)
        m = [-sum(guess[i] * left[i][t] for i in chosen) % R for t in range(D + 2 * SALTS)]
        first = bn254.msm(generators, m)
        image = projection._image(m, commitment.points[name], tail)
        proof.append(projection.SetProof(first, image, (0,) * len(m)))
    names = failing(commitment, proof, points, srs)
    assert len(names) == 2 * len(proof) and "right" not in names
    with pytest.MonkeyPatch.context() as patch:  # the control: had the guess been right
        patch.setattr(projection, "_draw_rho", lambda transcript, firsts: guess)
        check(commitment, tuple(proof), points, srs)


@each_recipe
@pytest.mark.parametrize("matrix", ["E", "core"])
def test_one_weight_changed(owners, honest, srs, recipe, matrix):
    """The honest proof of a model that differs in one weight, under the commitment of ours."""
    owner = owners[recipe]
    name = "E" if matrix == "E" else owner.descriptor.core_sets[-1]
    weights = owner.witness.matrices[name].copy()
    weights[(K - 1, 2) if matrix == "E" else (3, 1, 2)] += 1
    witness = replace(owner.witness, matrices={**owner.witness.matrices, name: weights})
    theirs = Owner(commit(witness, owner.secret, srs, 1), witness, owner.secret)
    points = row_points(theirs, srs)
    proof = prove(theirs, points, srs)
    check(theirs.commitment, proof, points, srs)  # the control: true of the other model
    assert failing(honest[recipe][0], proof, points, srs) != []
    with pytest.raises(InputError, match="equation"):
        check(honest[recipe][0], proof, points, srs)


def test_a_proof_of_another_recipe_of_the_same_numbers(srs):
    """The same points as `last-two` and as `official`: the descriptors differ."""
    one, other = small_owner(srs, "last-two"), small_owner(srs, "official")
    points = row_points(one, srs)
    proof = prove(one, points, srs)
    check(one.commitment, proof, points, srs)
    with pytest.raises(InputError, match="equation"):
        check(other.commitment, proof, points, srs)
    lent = replace(other.commitment, points=one.commitment.points)
    with pytest.raises(InputError, match="equation"):
        check(lent, proof, points, srs)


def test_the_false_one_of_many_is_named(honest, owners, srs):
    """A batch is only ever refused by name of an equation that is false."""
    commitment, _, points = honest["last-two"]
    for row, name in ((0, r"core \(C0\)"), (GROUP, r"core \(C1\)"), (LEFT, "right")):
        moved = changed(points, row, bn254.GENERATOR)
        made = prove(owners["last-two"], moved, srs)
        with pytest.raises(InputError, match=f"proof's {name} equation does not hold"):
            check(commitment, made, moved, srs)
