import dataclasses
import hashlib

import pytest

from huref_zk.commitment.descriptor import (
    MAX_AUDITED,
    MAX_DOMAIN_K,
    MAX_HIDDEN,
    MAX_LAYERS,
    MAX_ROWS,
    RESERVED,
    Audited,
    Descriptor,
    Matrix,
    block_length,
    check_descriptor,
    core_columns,
    parse_descriptor,
    token_digest,
)
from huref_zk.errors import InputError
from huref_zk.files.container import canonical_json, parse_canonical_json
from tests.support.changed_json import GONE, changed
from tests.support.small_owner import D, K

FIELDS = [field.name for field in dataclasses.fields(Descriptor)]


def refused(value, words):
    with pytest.raises(InputError, match=words) as caught:
        parse_descriptor(value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize("which", ["owner", "rich", "public"])
def test_round_trip_is_canonical(which, request):
    descriptor = request.getfixturevalue(which).descriptor
    data = descriptor.to_bytes()
    again = parse_descriptor(parse_canonical_json(data))
    assert again == descriptor and again.to_bytes() == data == canonical_json(descriptor.to_json())


def test_what_is_committed(owner, rich):
    e, wide = block_length(D), core_columns(D)
    assert (e, wide) == (D + 16, 3 * D + 40)
    assert owner.descriptor.matrices == (Matrix("E", K, D, 16), Matrix("C", D, wide, 8))
    assert rich.descriptor.matrices == (
        Matrix("E", K, D, 16),
        Matrix("C0", D, wide, 8),
        Matrix("C1", D, wide, 8),
        Matrix("qv1", D, 8, 8),
        Matrix("ko1", D, 8, 8),
        Matrix("up1", D, 7, 8),
        Matrix("gate1", D, 7, 8),
        Matrix("down1", D, 7, 8),
        Matrix("O", K, D, 8),
    )
    assert rich.descriptor.matrix("up1") == Matrix("up1", D, 7, 8)
    with pytest.raises(InputError, match="no matrix 'C'; it has E, C0, C1"):
        rich.descriptor.matrix("C")


def test_every_recipe_names_its_core_sets(owner):
    sets = {
        recipe: parse_descriptor(changed(owner.descriptor.to_json(), "recipe", recipe)).core_sets
        for recipe in ("whole", "last-two", "official")
    }
    assert sets == {"whole": ("C",), "last-two": ("C0", "C1"), "official": ("C0", "C1")}


def test_token_digest_is_of_little_endian_64_bit_ids():
    ids = [5, 0, 1 << 40]
    by_hand = b"".join(i.to_bytes(8, "little") for i in ids)
    assert token_digest(ids) == hashlib.sha256(by_hand).hexdigest()
    assert token_digest(ids) != token_digest(ids[::-1])


def rows_beyond(count):
    return (MAX_ROWS - D + count) & ~1


BAD = [
    *[(name, GONE, f"lacks the field '{name}'") for name in FIELDS],
    ("extra", 1, "unknown field 'extra'"),
    ("recipe", "everything", "recipe must be one of whole, last-two, official"),
    ("recipe", 1, "recipe must be one of"),
    ("recipe", ["whole"], "recipe must be one of"),
    ("model", [], "model must be an object"),
    ("model", {f"f{i}": i for i in range(33)}, "at most 32 fields"),
    ("model.hidden_size", GONE, "hidden_size must be an integer"),
    ("model.hidden_size", 0, "from 1 to"),
    ("model.hidden_size", MAX_HIDDEN + 1, "from 1 to"),
    ("model.hidden_size", "6", "from 1 to"),
    ("model.note", "x" * 201, "200 characters"),
    ("model.note", "a\x1b[2J", "printable"),
    ("model.note", "\ud800", "printable"),
    ("model.note", [], "200 characters"),
    ("model", {"hidden_size": 6, "": 1}, "field names must be"),
    ("model", {"hidden_size": 6, "x" * 41: 1}, "field names must be"),
    ("model", {"hidden_size": 6, "\x1b[2J": 1}, "field names must be"),
    ("layers", [], "list of 1 to"),
    ("layers", [1, 1], "must rise"),
    ("layers", [2, 1], "must rise"),
    ("layers", [-1, 1], "from 0 to"),
    ("layers", [(1 << 16) + 1], "from 0 to"),
    ("layers", ["1"], "from 0 to"),
    ("layers", "1,2", "list of 1 to"),
    ("layers", list(range(MAX_LAYERS + 1)), "list of 1 to"),
    ("tokens", 5, "tokens must be an object"),
    ("tokens.count", GONE, "lacks the field 'count'"),
    ("tokens.count", 63, "even"),
    ("tokens.count", 0, "from 50 to"),
    ("tokens.count", MAX_ROWS + 2, "from 50 to"),
    ("tokens.count", rows_beyond(2), "implies more than"),
    ("tokens.digest", "g" * 64, "hex digits"),
    ("tokens.digest", "A" * 64, "hex digits"),
    ("tokens.digest", "a" * 63, "hex digits"),
    ("tokens.choice", "nice", "one of common, rare, given"),
    ("tokens.more", 1, "unknown field 'more'"),
    ("scales", [], "scales must be an object"),
    ("scales", {f"s{i}": "1.0" for i in range(65)}, "at most 64 fields"),
    ("scales", {"x" * 41: "1.0"}, "field names must be"),
    ("scales.E", 8, "scales.E must be"),
    ("scales.E", "", "scales.E must be"),
    ("scales.E", "8", "must be a number"),  # Python writes 8.0
    ("scales.E", "08.0", "must be a number"),
    ("scales.E", "1e2", "must be a number"),
    ("scales.E", "nan", "must be a number"),
    ("scales.E", "inf", "must be a number"),
    ("scales.E", "0.0", "must be a number"),
    ("scales.E", "-1.0", "must be a number"),
    ("scales.E", "0x1p3", "must be a number"),
    ("scales.E", "1_0.0", "must be a number"),
    ("audited", {}, "list of at most"),
    ("audited", [{"layer": 1, "attention": 4}], "lacks the field 'ffn'"),
    ("audited", [{"layer": 1, "attention": 4, "ffn": 7, "x": 0}], "unknown field"),
    ("audited", [{"layer": -1, "attention": 4, "ffn": 7}], "layer must be"),
    ("audited", [{"layer": 1, "attention": 0, "ffn": 7}], "attention must be"),
    ("audited", [{"layer": 1, "attention": 4, "ffn": 1 << 21}], "ffn must be"),
    ("audited", [{"layer": 1, "attention": 4, "ffn": 7}] * 2, "audited layer twice"),
    (
        "audited",
        [{"layer": i, "attention": 4, "ffn": 7} for i in range(MAX_AUDITED + 1)],
        "list of at most",
    ),
    ("audited", [{"layer": 1, "attention": 120, "ffn": 7}], "a row of qv1 has 248 entries"),
    ("audited", [{"layer": 1, "attention": 4, "ffn": 233}], "a row of up1 has 241 entries"),
    ("output", 2, "output must be"),
    ("output", True, "output must be"),
    ("public", -1, "public must be"),
    ("checkpoint", "0" * 63, "hex digits"),
    ("srs", "test", "srs must be an object"),
    ("srs.kind", "mine", "srs.kind must be one of"),
    ("srs.k", 0, "srs.k must be"),
    ("srs.k", MAX_DOMAIN_K + 1, "srs.k must be"),
    ("srs.k", 6, "a row of C has 66 entries; a domain of 2\\^6"),
    ("srs.sha256", "00", "hex digits"),
    ("srs.extra", 1, "unknown field"),
    ("ezkl", "", "printable ASCII"),
    ("ezkl", 23, "printable ASCII"),
    ("ezkl", "x" * 33, "printable ASCII"),
]


@pytest.mark.parametrize(("path", "value", "words"), BAD)
def test_malformed(owner, path, value, words):
    good = owner.descriptor.to_json()
    assert parse_descriptor(good) == owner.descriptor  # the control
    refused(changed(good, path, value), words)


@pytest.mark.parametrize("value", [None, [], "x", 5])
def test_a_descriptor_is_an_object(value):
    refused(value, "must be an object")


ALLOWED = [
    ("layers", [0]),
    ("layers", list(range(MAX_LAYERS))),
    ("layers", [1 << 16]),
    ("tokens.count", 50),
    ("tokens.count", rows_beyond(0)),
    ("scales", {}),
    ("scales.E", "1e-300"),
    ("scales", {"x" * 40: "0.1"}),
    ("model.note", "x" * 200),
    ("model.note", "Größe"),
    ("audited", [{"layer": 3, "attention": 116, "ffn": 232}]),
    ("srs.k", 7),
    ("srs.k", MAX_DOMAIN_K),
    ("output", 1),
    ("public", 1),
    ("ezkl", "x" * 32),
]


@pytest.mark.parametrize(("path", "value"), ALLOWED)
def test_the_bounds_themselves_are_allowed(owner, path, value):
    good = changed(owner.descriptor.to_json(), path, value)
    found = parse_descriptor(good)
    assert found.to_json() == good
    check_descriptor(found)


def test_a_row_may_fill_the_domain_but_for_the_reserved_rows(owner):
    room = (1 << 8) - RESERVED - 8
    fits = dataclasses.replace(owner.descriptor, audited=(Audited(0, room // 2, room),))
    check_descriptor(fits)
    for attention, ffn in ((room // 2 + 1, 1), (1, room + 1)):
        wide = dataclasses.replace(owner.descriptor, audited=(Audited(0, attention, ffn),))
        with pytest.raises(InputError, match="does not hold them"):
            check_descriptor(wide)


def test_a_hidden_size_that_does_not_fit_is_refused_before_anything_large_is_made(owner):
    refused(changed(owner.descriptor.to_json(), "model.hidden_size", MAX_HIDDEN), "does not hold")


def test_descriptors_that_differ_have_different_bytes(owner):
    """Whatever field differs, root and challenges are told."""
    good = owner.descriptor
    others = [parse_descriptor(changed(good.to_json(), path, value)) for path, value in ALLOWED]
    others += [
        parse_descriptor(changed(good.to_json(), path, value))
        for path, value in [
            ("recipe", "official"),
            ("tokens.digest", "0" * 64),
            ("tokens.choice", "rare"),
            ("checkpoint", "0" * 64),
            ("srs.kind", "named"),
            ("srs.sha256", "0" * 64),
        ]
    ]
    different = {d.to_bytes() for d in others if d != good}
    assert (
        len(different) == len([d for d in others if d != good]) and good.to_bytes() not in different
    )
