import pytest

from huref_zk.errors import InputError
from huref_zk.files import fields

NUMBERS_NOT = ["0.4", "2.1", "1", "1.250", "1e0", "nan", "inf", "-1.0", " 1.0", "1.0 ", "", 1.0]
TEXTS_NOT = [{"a": ""}, {"a": "abcd"}, {"a": 1}, {"": "b"}, {"a" * 41: "b"}, {"é": "b"}, []]
FACTS_NOT = [{"a": "x" * 201}, {"a": True}, {"a": 1.0}, {"a": None}, {"a": "\x1b"}, {"a": "\ud800"}]
CASES = [
    # what takes it apart, what passes, what does not
    (lambda v: fields.members(v, ("a", "b"), "x"), [{"a": 1, "b": 2}], [{"a": 1}, {}, [], None]),
    (lambda v: fields.members(v, ("a",), "x"), [{"a": []}], [{"a": 1, "b": 1}, {"b": 1}, "a"]),
    (lambda v: fields.text(v, "x", 3), ["a", "abc", " "], ["", "abcd", "é", "a\n", 1, None, b"a"]),
    (lambda v: fields.one_of(v, "x", ("a", "b")), ["a", "b"], ["c", "", 1, None, ["a"]]),
    (
        lambda v: fields.hex_digits(v, "x", 4),
        ["00af", "9999"],
        ["00aF", "00a", "00af0", "00ag", 1, None, "0x11", " 0af", "\uff10\uff10af"],
    ),
    (lambda v: fields.integer(v, "x", -1, 2), [-1, 0, 2], [-2, 3, True, 1.0, "1", None]),
    (
        lambda v: fields.integers(v, "x", 2, 0, 5),
        [[0], [5, 5]],
        [[], [1, 2, 3], [6], [True], 5, {}, None],
    ),
    (
        lambda v: fields.number(v, "x", 0.5, 2.0),
        ["0.5", "2.0", "1.25", "0.6000000000000001"],
        [*NUMBERS_NOT, None, "1.0" + "0" * 40, "1_0.0", "\u0661.0"],
    ),
    (
        lambda v: fields.texts(v, "x", 2, 3),
        [{}, {"a": "abc"}, {"a" * 40: "b"}],
        [*TEXTS_NOT, None, {"a": "b", "c": "d", "e": "f"}],
    ),
    (
        lambda v: fields.facts(v, "x", 2),
        [{}, {"a": 1, "b": "Größe"}, {"a": "x" * 200}, {"a": -(1 << 62)}],
        [*FACTS_NOT, {"a": "\u202e"}, {"\x1b": 1}, {"": 1}, {"a": 1, "b": 1, "c": 1}, [], None],
    ),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_what_passes_and_what_does_not(case):
    take, good, bad = CASES[case]
    for value in good:
        found = take(value)
        assert found == (tuple(value) if isinstance(value, list) else found)
    for value in bad:
        with pytest.raises(InputError) as caught:
            take(value)
        message = str(caught.value)
        assert message.startswith("x") and "\n" not in message and "\x1b" not in message


def test_values_are_what_was_given():
    assert fields.number("1.25", "x", 0, 2) == 1.25
    assert fields.texts({"a": "b"}, "x", 2) == {"a": "b"}
    assert fields.facts({"a": 1}, "x") == {"a": 1}
    assert fields.members({"a": 1}, ["a"], "x") == {"a": 1}
    assert fields.integers([3, 1], "x", 2, 0, 5) == (3, 1)


def test_messages_do_not_repeat_a_strangers_text_at_length():
    with pytest.raises(InputError) as caught:
        fields.members({"a": 1, "b" * 5000: 1}, ("a",), "x")
    assert len(str(caught.value)) < 100
