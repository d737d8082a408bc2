"""Every field of a bundle's header: altered by a third party, by the prover, dropped, doubled."""

from __future__ import annotations

from dataclasses import fields

import pytest

from huref_zk.files.container import canonical_json
from huref_zk.proofs.picture.file import Claim
from tests.support.tampering import (
    accepted,
    forge,
    header_of,
    pack,
    pack_bundle,
    plain_json,
    raw,
    refused,
    sections_of,
)

FIELDS = [field.name for field in fields(Claim)]
# Who refuses when somebody else rewrites the field: what the verifier works out itself first, else
# the projection proof, whose challenges hash the whole claim.
REWRITTEN = {
    "root": (1, "names another root"),
    "circuit": (3, "another circuit"),
    "encoder": (3, "another encoder"),
    "ezkl": (3, "made with ezkl"),
    "seed": (4, "equation"),
    "generator": (4, "equation"),
    "render": (4, "equation"),
    "image": (4, "equation"),
}
# Who refuses when the prover claims it from the start and proves the rest honestly.
CLAIMED = {
    **REWRITTEN,
    "generator": (6, "made with generator"),
    "render": (6, "other rendering constants"),
    "image": (6, "names another picture"),
}


def altered(value: str) -> str:
    """The nearest other value of the same form."""
    return value[:-1] + ("1" if value[-1] == "0" else "0")


def test_all_fields_are_covered():
    assert set(REWRITTEN) == set(CLAIMED) == set(FIELDS)


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_rewritten_by_a_third_party(chain, name):
    sections, honest = sections_of(chain.bundle), header_of(chain.bundle)
    refused(*REWRITTEN[name], chain, pack({**honest, name: altered(honest[name])}, sections))
    accepted(chain, pack(honest, sections))


@pytest.mark.parametrize("name", sorted(CLAIMED))
def test_claimed_falsely_by_the_prover(chain, name):
    honest = header_of(chain.bundle)[name]
    refused(*CLAIMED[name], chain, forge(chain, claim={name: altered(honest)}))
    accepted(chain, forge(chain, claim={name: honest}))


def test_an_honest_forger_makes_the_honest_bundle(chain):
    assert pack_bundle(forge(chain)) == chain.bundle_file.read_bytes()
    accepted(chain)


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_dropped_doubled_or_of_another_type(chain, name):
    sections = list(sections_of(chain.bundle).values())
    header = header_of(chain.bundle)
    value = header[name]
    text = canonical_json(header)
    field = canonical_json({name: value})[1:-1]
    assert text.count(field) == 1
    rest = {k: v for k, v in header.items() if k != name}
    for body, words in [
        (canonical_json(rest), f"lacks the field '{name}'"),
        (text.replace(field, field + b"," + field), "canonical form"),
        (plain_json({**header, name + "2": value}), "unknown field"),
        (plain_json({**rest, name.upper(): value}), "lacks the field"),
        (plain_json({**header, name: [value]}), "must be"),
        (plain_json({**header, name: {}}), "must be"),
        (plain_json({**header, name: 7}), "must be"),
        (plain_json({**header, name: None}), "holds a NoneType"),
        (plain_json({**header, name: True}), "holds a bool"),
        (plain_json({**header, name: 1.0}), "holds a float"),
        (plain_json({**header, name: 1 << 64}), "64 bits"),
        (plain_json({**header, name: ""}), "must be"),
        (
            plain_json({**header, name: value.upper() + "G"}),
            "must be|hex" if name != "ezkl" else "",
        ),
    ]:
        step = 3 if name == "ezkl" and body == plain_json({**header, name: value + "G"}) else 0
        refused(step, words, chain, raw(body, sections))
    accepted(chain, raw(text, sections))


def test_header_forms_that_are_not_canonical(chain):
    sections = list(sections_of(chain.bundle).values())
    text = canonical_json(header_of(chain.bundle))
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
        header = {**header_of(chain.bundle), "ezkl": text}
        refused(0, "printable ASCII", chain, pack(header, sections_of(chain.bundle)))
    accepted(chain)
