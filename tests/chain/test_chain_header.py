"""Every field of a bundle's header: altered by a third party, by the prover, dropped, doubled."""

from __future__ import annotations

import pytest

from huref_zk.files.container import canonical_json
from huref_zk.proofs.picture.file import FIELDS
from tests.support.tampering import (
    accepted,
    forge,
    pack,
    pack_bundle,
    plain_json,
    raw,
    refused,
    sections_of,
)

# Who refuses when somebody else rewrites the field: what the verifier works out itself first, else
# the projection proof, whose challenges hash the whole claim.
REWRITTEN = {
    "format": (0, "this program reads"),
    "root": (1, "names another root"),
    "srs": (2, "different SRS"),
    "circuit": (3, "another circuit"),
    "encoder": (3, "another encoder"),
    "ezkl": (3, "made with ezkl"),
    "seed": (4, "equation"),
    "generator": (4, "equation"),
    "render": (4, "equation"),
    "image": (4, "equation"),
    "commitment_bytes": (0, "the file is too"),
    "projection_bytes": (0, "the file is too"),
    "v_bytes": (0, "the file is too|must lie in"),
    "proof_bytes": (0, "the file is too"),
}
# Who refuses when the prover claims it from the start and proves the rest honestly.
CLAIMED = {
    "root": (1, "names another root"),
    "srs": (2, "different SRS"),
    "circuit": (3, "another circuit"),
    "encoder": (3, "another encoder"),
    "ezkl": (3, "made with ezkl"),
    "seed": (4, "equation"),
    "generator": (6, "made with generator"),
    "render": (6, "other rendering constants"),
    "image": (6, "names another picture"),
}


def altered(value):
    """The nearest other value of the same form."""
    if isinstance(value, int):
        return value - 1
    return value[:-1] + ("1" if value[-1] == "0" else "0")


def test_all_fields_are_covered():
    assert set(REWRITTEN) == set(FIELDS)
    assert set(CLAIMED) == {n for n in FIELDS if n != "format" and not n.endswith("_bytes")}


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_rewritten_by_a_third_party(chain, name):
    sections = list(sections_of(chain.bundle).values())
    header = {**chain.bundle.header, name: altered(chain.bundle.header[name])}
    refused(*REWRITTEN[name], chain, raw(canonical_json(header), sections))
    header[name] = chain.bundle.header[name]
    accepted(chain, raw(canonical_json(header), sections))


@pytest.mark.parametrize("name", sorted(CLAIMED))
def test_claimed_falsely_by_the_prover(chain, name):
    refused(*CLAIMED[name], chain, forge(chain, header={name: altered(chain.bundle.header[name])}))
    accepted(chain, forge(chain, header={name: chain.bundle.header[name]}))


def test_an_honest_forger_makes_the_honest_bundle(chain):
    assert pack_bundle(forge(chain)) == chain.bundle_file.read_bytes()
    accepted(chain)


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_dropped_doubled_or_of_another_type(chain, name):
    sections = list(sections_of(chain.bundle).values())
    header = chain.bundle.header
    value = header[name]
    text = canonical_json(header)
    field = canonical_json({name: value})[1:-1]
    assert text.count(field) == 1
    rest = {k: v for k, v in header.items() if k != name}
    for body, words in [
        (canonical_json(rest), f"lacks {name}"),
        (text.replace(field, field + b"," + field), "canonical form"),
        (plain_json({**rest, name.upper(): value}), "unknown field"),
        (plain_json({**header, name: [value]}), f"lacks {name}"),
        (plain_json({**header, name: {}}), f"lacks {name}"),
        (plain_json({**header, name: str(value) if isinstance(value, int) else 7}), "lacks"),
        (plain_json({**header, name: None}), "holds a NoneType"),
        (plain_json({**header, name: True}), "holds a bool"),
        (plain_json({**header, name: 1.0}), "holds a float"),
        (plain_json({**header, name: 1 << 64}), "64 bits"),
        (plain_json({**header, name: ""}), "lacks|reads|hex digits|made with ezkl"),
    ]:
        step = 3 if body == plain_json({**header, "ezkl": ""}) else 0
        refused(step, words, chain, raw(body, sections))
    accepted(chain, raw(text, sections))


def test_header_forms_that_are_not_canonical(chain):
    sections = list(sections_of(chain.bundle).values())
    text = canonical_json(chain.bundle.header)
    first = text[1 : text.index(b",")]
    deep = b"[" * 60 + b"]" * 60
    for body, words in [
        (b"", "not JSON"),
        (b"{}", "lacks"),
        (b"[" + text + b"]", "not a JSON object"),
        (b" " + text, "canonical form"),
        (text + b"\n", "canonical form"),
        (text.replace(b":", b": ", 1), "canonical form"),
        (b"{" + text[len(first) + 2 : -1] + b"," + first + b"}", "canonical form"),
        (b"\xef\xbb\xbf" + text, "not JSON in ASCII"),
        (text.decode().encode("utf-16"), "not JSON in ASCII"),
        (text[:-1], "not JSON"),
        (text[:-1] + b',"z":' + deep + b"}", "nested too deeply"),
        (text[:-1] + b',"z":' + b"[" * 30000 + b"]" * 30000 + b"}", "not JSON|nested"),
        (text[:-1] + b',"z":' + b"9" * 50000 + b"}", "not JSON|64 bits"),
        (text[:-1] + b',"z":1}', "unknown field 'z'"),
        (text + b" " * 70000, "at most 65536"),
    ]:
        refused(0, words, chain, raw(body, sections))
    accepted(chain, raw(text, sections))


def test_text_that_would_upset_a_terminal(chain):
    """Only plain characters get as far as a message or a listing."""
    for text in ("\x1b[2J", "x\nVALID", "\ud800", "é", "x" * 65):
        header = {**chain.bundle.header, "ezkl": text}
        refused(0, "printable ASCII", chain, pack(header, sections_of(chain.bundle)))
    accepted(chain)
