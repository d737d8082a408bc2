import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from huref_zk.native.codec import DTYPES, MAX_DEPTH, Malformed, decode, encode

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**300), 2**300),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
)
array = st.sampled_from(sorted(DTYPES)).flatmap(
    lambda d: arrays.arrays(d, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.one_of(st.text(), st.integers()), inner, max_size=4),
    ),
    max_leaves=12,
)


def same(a, b):
    """Equal, and of the same types throughout."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b)
    return a == b


@given(values)
@settings(max_examples=300, deadline=None)
def test_values_come_back(value):
    data = encode(value)
    assert same(decode(data), value)
    assert encode(decode(data)) == data


@given(array)
@settings(max_examples=200, deadline=None)
def test_arrays_come_back(value):
    (back,) = decode(encode([value]))
    assert back.dtype == value.dtype and back.shape == value.shape
    assert back.tobytes() == value.tobytes() and back.flags.writeable


def test_arrays_of_other_layouts():
    whole = np.arange(12, dtype=">i4").reshape(3, 4)
    for value in (whole, whole.T, whole[::2, ::-1], whole.astype("<i4")):
        back = decode(encode(value))
        assert (back == value).all() and back.dtype == np.dtype("<i4")


def test_not_a_number():
    assert math.isnan(decode(encode(math.nan)))


class Int(int):
    pass


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1},
        Int(3),
        np.int64(3),
        1j,
        {None: 1},
        {(1,): 1},
        np.array([None]),
        np.array(["a"]),
    ],
)
def test_other_things_are_refused(value):
    assert decode(encode([3])) == [3]  # the control
    with pytest.raises(TypeError):
        encode([value])


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def test_depth_is_bounded():
    assert decode(encode(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(ValueError, match="levels"):
        encode(nested(MAX_DEPTH + 1))
    one_more = b"l" + (1).to_bytes(8, "little") + encode(nested(MAX_DEPTH))
    with pytest.raises(Malformed, match="levels"):
        decode(one_more)
    with pytest.raises(Malformed):
        decode((b"l" + (1).to_bytes(8, "little")) * 100_000)


@given(st.binary(max_size=60))
@settings(max_examples=500, deadline=None)
def test_any_bytes(data):
    try:
        value = decode(data)
    except Malformed:
        return
    assert encode(value) == data


@given(st.one_of(values, array), st.data())
@settings(max_examples=500, deadline=None)
def test_changed_bytes(value, draw):
    """Whatever else is read, it is what would be written so."""
    data = bytearray(encode(value))
    for _ in range(draw.draw(st.integers(1, 3))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    try:
        back = decode(bytes(data))
    except Malformed:
        return
    assert encode(back) == bytes(data)


@given(values)
@settings(max_examples=100, deadline=None)
def test_cut_or_longer(value):
    data = encode(value)
    for wrong in (data[:-1], data + b"N", b""):
        with pytest.raises(Malformed):
            decode(wrong)


def count(n):
    return n.to_bytes(8, "little")


HUGE = count(2**63 - 1)


@pytest.mark.parametrize("letter", list("isbltd"))
def test_a_count_beyond_the_end_takes_no_memory(letter):
    tracemalloc.start()
    with pytest.raises(Malformed):
        decode(letter.encode() + HUGE + bytes(100))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_malformed_arrays():
    def made(dtype="<i2", shape=(2, 3), data=bytes(12)):
        return b"a" + encode(dtype) + encode(shape) + encode(data)

    assert decode(made()).shape == (2, 3)  # the control
    for wrong in (
        made(dtype="|O8"),
        made(dtype=3),
        made(dtype="<c16"),
        made(dtype=">i2"),
        made(shape=[2, 3]),
        made(shape=(-2, -3)),
        made(shape=(2, 3.0)),
        made(shape=(2, True)),
        made(shape=(2, 4)),
        made(shape=(0, 2**70), data=b""),
        made(shape=(1,) * 200, data=bytes(2)),
        made(data=bytes(11)),
        made(data="\0" * 12),
        made(dtype="|b1", shape=(1,), data=b"\2"),
    ):
        with pytest.raises(Malformed):
            decode(wrong)


@pytest.mark.parametrize(
    "data",
    [
        b"i" + count(1) + b"\0",  # zero has no byte
        b"i" + count(2) + b"\1\0",
        b"i" + count(2) + b"\xff\xff",
        b"s" + count(1) + b"\xff",
        b"d" + count(2) + (encode("k") + b"N") * 2,
        b"d" + count(1) + b"N" + b"N",
        b"x",
    ],
)
def test_no_second_way_to_write(data):
    with pytest.raises(Malformed):
        decode(data)
