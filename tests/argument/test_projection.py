from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from huref_zk.argument.projection import (
    parse_projection,
    projected_rows,
    rows_of_set,
    serialise_projection,
)
from huref_zk.commitment.descriptor import block_length, core_columns, parse_descriptor
from huref_zk.commitment.salts import E_SALTS, SALTS
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import GENERATOR, R
from huref_zk.errors import InputError
from huref_zk.invariants.sketch import GROUP, LEFT, RIGHT, signs
from tests.support.changed_json import changed
from tests.support.projecting import SEED, check, failing, points_of, prove, refused, row_points
from tests.support.small_owner import D, K, small_owner

RECIPES = ["whole", "last-two"]
each_recipe = pytest.mark.parametrize("recipe", RECIPES)


@each_recipe
def test_an_honest_proof_verifies(honest, srs, recipe):
    check(*honest[recipe], srs)
    assert failing(*honest[recipe], srs) == []


@each_recipe
def test_a_public_model_is_proven_alike(srs, recipe):
    owner = small_owner(srs, recipe, public=True)
    points = row_points(owner, srs)
    check(owner.commitment, prove(owner, points, srs), points, srs)
    left, right = projected_rows(owner, SEED)
    assert all(row[-SALTS:] == [0] * SALTS for row in left)
    assert all(row[D:] == [0] * E_SALTS for row in right)


@each_recipe
def test_which_rows_see_which_set(owners, recipe):
    descriptor = owners[recipe].descriptor
    seen = [rows_of_set(descriptor, s) for s in range(len(descriptor.core_sets))]
    halves = [list(range(GROUP)), list(range(GROUP, LEFT))]
    assert seen == ([halves[0] + halves[1]] if recipe == "whole" else halves)


@each_recipe
def test_rows_are_the_projected_matrices(owners, recipe):
    """Against the definition, in Python's own integers."""
    owner = owners[recipe]
    E = owner.witness.matrices["E"].astype(object)
    left, right = (signs(SEED, s, n, K).astype(object) for s, n in (("L", LEFT), ("R", RIGHT)))
    ys, bs = projected_rows(owner, SEED)
    e = block_length(D)
    assert [len(row) for row in ys] == [3 * e] * LEFT and [len(row) for row in bs] == [e] * RIGHT
    assert [row[:D] for row in bs] == (right @ E).tolist()
    for i, y in enumerate(ys):
        name = owner.descriptor.core_sets[i // GROUP % len(owner.descriptor.core_sets)]
        core = owner.witness.matrices[name].astype(object)
        for term in range(3):
            block = y[term * e : term * e + D]
            assert block == (left[i] @ E @ core[:, term]).tolist()
            between = y[term * e + D : min((term + 1) * e, core_columns(D))]
            assert not any(between)


@each_recipe
def test_salts_of_the_rows_are_sums_of_committed_salts(owners, recipe):
    """B's: sums of E's own salts and blinds. Y's: of E's blinds, and of the core's salts."""
    owner = owners[recipe]
    key = owner.witness.key(owner.secret)
    salts = np.array(owner.witness.salts(key, "E"), dtype=object)
    left, right = (signs(SEED, s, n, K).astype(object) for s, n in (("L", LEFT), ("R", RIGHT)))
    ys, bs = projected_rows(owner, SEED)
    assert [row[D:] for row in bs] == ((right @ salts) % R).tolist()
    blinds = left @ salts[:, SALTS:]
    x = left @ owner.witness.matrices["E"].astype(object)
    for i, y in enumerate(ys):
        name = owner.descriptor.core_sets[i // GROUP % len(owner.descriptor.core_sets)]
        core = np.array(owner.witness.salts(key, name), dtype=object)
        assert y[-SALTS:] == ((blinds[i] + x[i] @ core) % R).tolist()


# --- bytes ---------------------------------------------------------------------------------------


@each_recipe
def test_bytes_round_trip(honest, recipe):
    commitment, proof, _ = honest[recipe]
    data = serialise_projection(proof)
    sets = len(commitment.descriptor.core_sets)
    assert len(data) == sets * (64 + 32 * (D + E_SALTS))
    assert parse_projection(data, commitment.descriptor) == proof
    by_hand = b"".join(bn254.compress(p) for part in proof for p in (part.mask, part.image))
    by_hand += b"".join(n.to_bytes(32, "big") for part in proof for n in part.response)
    assert data == by_hand


@each_recipe
def test_malformed_bytes(honest, recipe):
    commitment, proof, _ = honest[recipe]
    descriptor, data = commitment.descriptor, serialise_projection(proof)
    head = 64 * len(proof)
    for bad, words in [
        (b"", "bytes, not"),
        (data[:-1], "bytes, not"),
        (data[:-32], "bytes, not"),
        (data + b"\0", "bytes, not"),
        (data * 2, "bytes, not"),
        (b"\x3f" * 32 + data[32:], "malformed compressed point"),
        (data[: head - 32] + b"\xff" * 32 + data[head:], "malformed compressed point"),
        (data[:head] + R.to_bytes(32, "big") + data[head + 32 :], "canonical field element"),
        (data[:-32] + b"\xff" * 32, "canonical field element"),
    ]:
        with pytest.raises(InputError, match=words):
            parse_projection(bad, descriptor)
    largest = data[:-32] + (R - 1).to_bytes(32, "big")
    assert parse_projection(largest, descriptor)[-1].response[-1] == R - 1  # the control


def test_a_proof_of_one_recipe_is_not_read_as_of_another(honest):
    for recipe, other in (RECIPES, RECIPES[::-1]):
        data = serialise_projection(honest[recipe][1])
        with pytest.raises(InputError, match="bytes, not"):
            parse_projection(data, honest[other][0].descriptor)


def test_a_number_plus_r_is_not_another_encoding(honest):
    commitment, proof, _ = honest["whole"]
    data = serialise_projection(proof)
    first = int.from_bytes(data[64:96], "big") + R
    assert first < 1 << 256
    with pytest.raises(InputError, match="canonical"):
        parse_projection(data[:64] + first.to_bytes(32, "big") + data[96:], commitment.descriptor)


# --- what a proof is bound to --------------------------------------------------------------------


@each_recipe
@pytest.mark.parametrize("change", [{"seed": b"\x08" * 32}, {"statement": b"another claim"}])
def test_bound_to_seed_and_statement(honest, srs, recipe, change):
    check(*honest[recipe], srs)  # the control
    refused("equation", *honest[recipe], srs, **change)


@each_recipe
def test_bound_to_every_committed_point(honest, srs, recipe):
    """Also to those that no equation speaks of: audited layers, the output matrix."""
    commitment, proof, points = honest[recipe]
    for name, group in commitment.points.items():
        for row in (0, len(group) - 1):
            moved = list(group)
            moved[row] = bn254.add(moved[row], GENERATOR)
            other = replace(commitment, points={**commitment.points, name: tuple(moved)})
            refused("equation", other, proof, points, srs)


@each_recipe
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("model.architecture", "other"),
        ("layers", [0]),
        ("tokens.digest", "0" * 64),
        ("checkpoint", "0" * 64),
        ("srs.kind", "named"),
        ("public", 1),
    ],
)
def test_bound_to_the_descriptor(honest, srs, recipe, path, value):
    commitment, proof, points = honest[recipe]
    descriptor = parse_descriptor(changed(commitment.descriptor.to_json(), path, value))
    refused("equation", replace(commitment, descriptor=descriptor), proof, points, srs)


def test_bound_to_the_root(honest, srs):
    commitment, proof, points = honest["whole"]
    refused("equation", replace(commitment, root=commitment.root ^ 1), proof, points, srs)


@each_recipe
def test_bound_to_every_row_and_its_place(honest, srs, recipe):
    commitment, proof, points = honest[recipe]
    for i, j in ((0, 1), (0, GROUP), (GROUP, LEFT - 1), (LEFT, LEFT + 1), (0, LEFT)):
        swapped = list(points)
        swapped[i], swapped[j] = points[j], points[i]
        refused("equation", commitment, proof, swapped, srs)
    for i in (0, GROUP - 1, GROUP, LEFT - 1, LEFT, LEFT + RIGHT - 1):
        moved = list(points)
        moved[i] = bn254.add(points[i], GENERATOR)
        refused("equation", commitment, proof, moved, srs)
    refused("equation", commitment, proof, [*points[LEFT:], *points[:LEFT]], srs)
    refused("equation", commitment, proof, [None] * (LEFT + RIGHT), srs)


@each_recipe
def test_first_messages_count(honest, srs, recipe):
    commitment, proof, points = honest[recipe]
    for index, part in enumerate(proof):
        for field in ("mask", "image"):
            for other in (None, GENERATOR, bn254.negate(getattr(part, field))):
                parts = list(proof)
                parts[index] = replace(part, **{field: other})
                refused("equation", commitment, tuple(parts), points, srs)
        crossed = replace(part, mask=part.image, image=part.mask)
        parts = [*proof[:index], crossed, *proof[index + 1 :]]
        refused("equation", commitment, tuple(parts), points, srs)


def test_sets_exchanged(honest, owners, srs):
    commitment, proof, points = honest["last-two"]
    refused("equation", commitment, proof[::-1], points, srs)
    points_crossed = {
        **commitment.points,
        "C0": commitment.points["C1"],
        "C1": commitment.points["C0"],
    }
    other = replace(commitment, points=points_crossed)
    refused("equation", other, proof, points, srs)
    refused(
        "equation", other, proof[::-1], [*points[GROUP:LEFT], *points[:GROUP], *points[LEFT:]], srs
    )


@given(st.integers(0, D + E_SALTS - 1), st.integers(1, R - 1), st.sampled_from(RECIPES))
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_number_of_a_response_counts(honest, srs, place, by, recipe):
    commitment, proof, points = honest[recipe]
    response = list(proof[-1].response)
    response[place] = (response[place] + by) % R
    parts = (*proof[:-1], replace(proof[-1], response=tuple(response)))
    refused("equation", commitment, parts, points, srs)


def test_arguments_must_belong_together(honest, srs):
    commitment, proof, points = honest["whole"]
    with pytest.raises(InputError, match="48 row commitments"):
        check(commitment, proof, points[:-1], srs)
    with pytest.raises(InputError, match="48 row commitments"):
        check(commitment, proof, [*points, None], srs)
    for seed in (b"short", SEED + b"\0"):
        with pytest.raises(InputError, match="32 bytes"):
            check(commitment, proof, points, srs, seed=seed)
    for wrong in ((), proof * 2, (replace(proof[0], response=proof[0].response[:-1]),)):
        with pytest.raises(InputError, match="needs 22 numbers for each of 1 sets"):
            check(commitment, wrong, points, srs)


def test_a_row_of_e_may_not_be_longer_than_it_is(owners, honest, srs):
    """A committed row with a number beyond its salts has no response that fits."""
    commitment, proof, points = honest["whole"]
    beyond = srs.lagrange(D + E_SALTS, 1)[0]
    E = list(commitment.points["E"])
    E[5] = bn254.add(E[5], beyond)
    other = replace(commitment, points={**commitment.points, "E": tuple(E)})
    owner = replace(owners["whole"], commitment=other)
    right = [int(s) for s in signs(SEED, "R", RIGHT, K)[:, 5]]
    moved = [
        *points[:LEFT],
        *(
            bn254.add(p, bn254.multiply(beyond, s % R))
            for p, s in zip(points[LEFT:], right, strict=True)
        ),
    ]
    proof = prove(owner, moved, srs)
    assert failing(other, proof, moved, srs) == ["embedding (C)"]


def test_the_points_are_of_whole_rows(owners, honest, srs):
    """Row commitments by definition, with salts; without them they are other points."""
    left, right = projected_rows(owners["whole"], SEED)
    assert points_of([*left, *right], srs) == honest["whole"][2]
    bare = points_of([row[: core_columns(D)] for row in left], srs)
    assert not set(bare) & set(honest["whole"][2])
