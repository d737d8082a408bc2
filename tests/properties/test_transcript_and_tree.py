"""No two sequences of messages share a transcript, no two places of a tree a path."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from huref_zk.argument.transcript import Transcript
from huref_zk.commitment import tree as merkle
from huref_zk.curve.bn254 import R

# Short, from few letters: that is where boundaries could be mistaken.
label = st.text("ab\0", max_size=3)
data = st.binary(max_size=3) | st.sampled_from([b"\1a", bytes(8), b"\0\0\0\0\0\0\0\1a"])
messages = st.lists(st.tuples(label, data), max_size=4)


def spoken(statement: bytes, said: list[tuple[str, bytes]]) -> Transcript:
    transcript = Transcript(statement)
    for name, content in said:
        transcript.absorb(name, content)
    return transcript


@settings(max_examples=300, deadline=None)
@given(data, messages, data, messages)
def test_transcripts_are_injective(s, first, t, second):
    same = (s, first) == (t, second)
    assert (spoken(s, first).digest() == spoken(t, second).digest()) == same
    drawn = [spoken(*x).challenges("rho", 1) for x in ((s, first), (t, second))]
    assert (drawn[0] == drawn[1]) == same


@settings(max_examples=200, deadline=None)
@given(messages.filter(bool), st.data())
def test_moving_a_boundary_is_heard(said, draw):
    """All the same bytes, cut elsewhere, or under labels that run on into the data."""
    i = draw.draw(st.integers(0, len(said) - 1))
    name, content = said[i]
    whole = name.encode() + content
    cut = draw.draw(st.integers(0, len(whole)))
    assume(whole[:cut].isascii())
    moved = [*said[:i], (whole[:cut].decode(), whole[cut:]), *said[i + 1 :]]
    assert (spoken(b"", said).digest() == spoken(b"", moved).digest()) == (said == moved)
    merged = [*said[:i], (name, content + b"".join(n.encode() + c for n, c in said[i + 1 :]))]
    assert (spoken(b"", said).digest() == spoken(b"", merged).digest()) == (said == merged)


@settings(max_examples=100, deadline=None)
@given(messages, label, label, st.integers(1, 3), st.integers(1, 3))
def test_draws_are_messages(said, one, other, m, n):
    a, b = spoken(b"s", said), spoken(b"s", said)
    first, second = a.challenges(one, m), b.challenges(other, n)
    assert (first == second) == ((one, m) == (other, n))
    assert (a.digest() == b.digest()) == ((one, m) == (other, n))
    assert not set(first) & set(a.challenges(one, m))


leaves = st.lists(st.integers(0, R - 1), min_size=1, max_size=11, unique=True)
DESCRIPTOR = b'{"a":1}'


@settings(max_examples=25, deadline=None)
@given(leaves, st.data())
def test_a_path_proves_one_leaf_at_one_place(values, draw):
    count = len(values)
    root = merkle.root(values, DESCRIPTOR)
    index = draw.draw(st.integers(0, count - 1))
    siblings = merkle.path(values, index)

    def leads(leaf=values[index], at=index, size=count, path=siblings, descriptor=DESCRIPTOR):
        return merkle.check_path(leaf, at, size, path, descriptor) == root

    assert leads()
    assert not leads(leaf=draw.draw(st.integers(0, R - 1).filter(lambda x: x != values[index])))
    for other in range(count):
        assert leads(at=other) == (other == index)
        assert leads(leaf=values[other]) == (other == index)
    for i, sibling in enumerate(siblings):
        changed = draw.draw(st.integers(0, R - 1).filter(lambda x, s=sibling: x != s))
        assert not leads(path=[*siblings[:i], changed, *siblings[i + 1 :]])
        assert not leads(path=[*siblings[:i], *siblings[i + 1 :]])
    assert not leads(path=[*siblings, values[0]])
    assert len(set(siblings)) < 2 or not leads(path=siblings[::-1])
    assert not leads(descriptor=b'{"a":2}')
    assert leads()


@settings(max_examples=25, deadline=None)
@given(leaves, st.data())
def test_a_root_is_of_one_list_of_leaves(values, draw):
    root = merkle.root(values, DESCRIPTOR)
    other = draw.draw(st.permutations(values))
    assert (merkle.root(other, DESCRIPTOR) == root) == (other == values)
    for changed in (values[:-1], [*values, 0], [*values, values[-1]]):
        assert not changed or merkle.root(changed, DESCRIPTOR) != root
    assert merkle.root(values, DESCRIPTOR) == root
