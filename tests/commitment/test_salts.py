import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huref_zk.commitment.descriptor import parse_descriptor
from huref_zk.commitment.salts import E_SALTS, SALTS, row_salts, salt_key
from huref_zk.curve.bn254 import R
from huref_zk.errors import InputError
from tests.support.changed_json import changed
from tests.support.small_owner import SECRET


def all_salts(witness, secret=SECRET):
    key = witness.key(secret)
    rows = [row for m in witness.descriptor.matrices for row in witness.salts(key, m.name)]
    return [salt for row in rows for salt in row]


def test_salts_are_distinct_field_elements(rich):
    lengths = {m.name: m.salts for m in rich.descriptor.matrices}
    assert lengths.pop("E") == E_SALTS == 2 * SALTS and set(lengths.values()) == {SALTS}
    drawn = all_salts(rich.witness)
    assert len(set(drawn)) == len(drawn) and all(0 <= salt < R for salt in drawn)
    assert min(drawn) > 1 << 200  # full size: short salts would hide less than is argued


def test_the_same_again(rich):
    assert all_salts(rich.witness) == all_salts(rich.witness)
    key = rich.witness.key(SECRET)
    assert rich.witness.salts(key, "O", range(3, 5)) == rich.witness.salts(key, "O")[3:5]


def weight_changed(witness, name, place):
    matrix = witness.matrices[name].copy()
    matrix[place] += 1
    return dataclasses.replace(witness, matrices={**witness.matrices, name: matrix})


def described(witness, path, value):
    descriptor = parse_descriptor(changed(witness.descriptor.to_json(), path, value))
    return dataclasses.replace(witness, descriptor=descriptor)


CHANGES = {
    **{
        f"one weight of {name}": lambda w, n=name, p=place: weight_changed(w, n, p)
        for name, place in [("E", (63, 5)), ("C1", (5, 2, 5)), ("up1", (0, 0)), ("O", (63, 5))]
    },
    "another SRS": lambda w: described(w, "srs.sha256", "0" * 64),
    "another kind of SRS": lambda w: described(w, "srs.kind", "named"),
    "another domain": lambda w: described(w, "srs.k", 9),
    "another checkpoint": lambda w: described(w, "checkpoint", "0" * 64),
    "other tokens": lambda w: described(w, "tokens.digest", "0" * 64),
    "other layers": lambda w: described(w, "layers", [0, 1]),
    "another recipe": lambda w: described(w, "recipe", "official"),
    "another scale": lambda w: described(w, "scales.E", "127.0"),
    "another fact": lambda w: described(w, "model.architecture", "other"),
    "another ezkl": lambda w: described(w, "ezkl", "23.0.6"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_nothing_that_differs_shares_a_salt(rich, what):
    """Two rows under one salt would give their difference away."""
    other = CHANGES[what](rich.witness)
    assert not set(all_salts(rich.witness)) & set(all_salts(other))


def test_another_secret_shares_none(rich):
    last = bytes([*SECRET[:-1], SECRET[-1] ^ 1])
    assert not set(all_salts(rich.witness)) & set(all_salts(rich.witness, last))


def test_a_public_model_has_none(public):
    assert set(all_salts(public.witness, None)) == {0}


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.sampled_from(["E", "C", "C0", "C1", "up1", "up11"]), st.integers(0, 1 << 17)),
    st.tuples(st.sampled_from(["E", "C", "C0", "C1", "up1", "up11"]), st.integers(0, 1 << 17)),
)
def test_places_do_not_share_salts(one, other):
    key = bytes(32)
    equal = set(row_salts(key, *one, 8)) & set(row_salts(key, *other, 8))
    assert bool(equal) == (one == other)
    assert row_salts(key, *one, 8)[:3] == row_salts(key, *one, 3)


def test_a_key_binds_shapes_and_order():
    a, b = np.arange(6, dtype=np.int16).reshape(2, 3), np.zeros((1, 1), np.int16)
    keys = {
        salt_key(SECRET, matrices, b"{}")
        for matrices in (
            {"a": a, "b": b},
            {"b": b, "a": a},
            {"a": b, "b": a},
            {"a": a.reshape(3, 2), "b": b},
            {"a": a},
        )
    }
    assert len(keys) == 5
    columns = np.asfortranarray(a)  # how it lies in memory does not matter
    assert salt_key(SECRET, {"a": columns}, b"{}") == salt_key(SECRET, {"a": a}, b"{}")


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_secret_has_32_bytes(size):
    matrices = {"a": np.zeros((1, 1), np.int16)}
    assert len(salt_key(bytes(32), matrices, b"{}")) == 32  # the control
    with pytest.raises(InputError, match=f"32 bytes, not {size}"):
        salt_key(bytes(size), matrices, b"{}")
