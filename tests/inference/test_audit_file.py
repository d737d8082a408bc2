"""Malformed audits, as files; the commands."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from huref_zk.cli import main
from huref_zk.commitment.descriptor import Audited
from huref_zk.curve.bn254 import R
from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.files.container import pack, unpack
from huref_zk.files.formats import AUDIT
from huref_zk.models.load import EMBEDDED
from huref_zk.proofs.inference.claims import (
    LAYER_FIELDS,
    OUTPUT_FIELDS,
    Extent,
    geometry_of,
    hidden_exponent,
    parse_claims,
    serialise_claims,
)
from huref_zk.proofs.inference.file import parse_audit, serialise_audit
from huref_zk.proofs.inference.verify import tokenise
from tests.support.audited import NONCE, PROMPT
from tests.support.small_owner import write_owner

TOKENIZER = EMBEDDED["demo-base"] / "tokenizer.json"


@pytest.fixture(scope="module")
def honest(owner):
    return owner.audit()


def rebuilt(audit, index=None, section=b"", **header) -> bytes:
    """The audit's bytes with other header fields (None drops one), or another section."""
    fields, sections = unpack(AUDIT, serialise_audit(audit))
    fields = {k: v for k, v in (fields | header).items() if v is not None}
    parts = list(sections)
    if index is not None:
        parts[index] = section
    return pack(AUDIT, fields, parts)


@pytest.mark.parametrize(
    "header",
    [
        {"nonce": "AB" * 32},
        {"nonce": "ab"},
        {"nonce": 5},
        {"nonce": None},
        {"positions": 0},
        {"positions": 19},
        {"positions": 7},
        {"rms_norm_eps": "nan"},
        {"rms_norm_eps": "1e-6"},
        {"rms_norm_eps": "-1e-06"},
        {"rms_norm_eps": 1},
        {"rms_norm_eps": ""},
        {"rope_theta": "inf"},
        {"rope_theta": "10000"},
        {"output": ""},
        {"output": "C"},
        {"scales": {"a": [10, 10], "z": [10]}},
        {"scales": {"a": [10], "mid": [10, 10], "z": [10]}},
        {"scales": {"a": [10, 65], "mid": [10, 10], "z": [10]}},
        {"scales": {"a": [10, "1"], "mid": [10, 10], "z": [10]}},
        {"scales": {"a": [10, 10], "mid": [10, 10], "z": []}},
        {"scales": []},
        {"more": 1},
        {"scales": None},
        {"prompt": "a text that nobody compares"},
    ],
)
def test_a_malformed_header(header, honest):
    parse_audit(rebuilt(honest))
    with pytest.raises(InputError):
        parse_audit(rebuilt(honest, **header))


@pytest.mark.parametrize("index", range(5))
def test_malformed_sections(index, honest, owner):
    _, sections = unpack(AUDIT, serialise_audit(honest))
    parse_audit(rebuilt(honest, index, sections[index]))
    section = sections[index]
    for wrong in (section[:-1], section + b"\0", b"", section[:8]):
        with pytest.raises(InputError):
            parse_audit(rebuilt(honest, index, wrong))
        assert owner.refusal(rebuilt(honest, index, wrong))[0] == "parse"


def test_tokens_that_are_named_twice(honest):
    twice = replace(honest, tokens=(honest.tokens[1], *honest.tokens[1:]))
    with pytest.raises(InputError, match="64 different tokens"):
        parse_audit(serialise_audit(twice))


@pytest.mark.parametrize("where", ["point", "image", "response"])
def test_numbers_of_the_proof_that_are_none(where, honest, owner):
    _, (*_, proof) = unpack(AUDIT, serialise_audit(honest))
    place = {"point": 0, "image": 32, "response": len(proof) - 32}[where]
    wrong = R.to_bytes(32, "big") if place else b"\xff" * 32
    changed = proof[:place] + wrong + proof[place + 32 :]
    step, message = owner.refusal(rebuilt(honest, 4, changed))
    assert step == "parse"
    assert "canonical field element" in message or "compressed point" in message


WRONG = {
    "f4": [b"\x7f\xc0\0\0", b"\x7f\x80\0\0", b"\xff\x80\0\0", np.array(1e31, ">f4").tobytes()],
    "norms": [b"\x7f\xc0\0\0", b"\x7f\x80\0\0", bytes(4), b"\xbf\x80\0\0"],
    "i4": [b"\x80\0\0\0", b"\x7f\xff\xff\xff", (2**21 + 1).to_bytes(4, "big")],
    "i8": [b"\x80" + bytes(7), b"\x7f" + b"\xff" * 7, (2**62 + 1).to_bytes(8, "big")],
}


@pytest.mark.parametrize("name", [*LAYER_FIELDS, *OUTPUT_FIELDS])
def test_claims_out_of_range(name, honest, owner):
    data, place = serialise_claims(honest.claims), 0
    extent = Extent(6, True, 0)
    of_layers = [(part, field) for part in honest.claims.layers for field in LAYER_FIELDS]
    for part, field in [*of_layers, *((honest.claims.output, f) for f in OUTPUT_FIELDS)]:
        if field == name:
            break
        place += np.asarray(getattr(part, field)).nbytes
    kind = np.asarray(getattr(part, name)).dtype.str[1:]
    assert serialise_claims(parse_claims(data, owner.geometry, extent)) == data
    for value in WRONG["norms" if name == "norms" else kind]:
        with pytest.raises(InputError, match=f"claimed {name} holds"):
            parse_claims(data[:place] + value + data[place + len(value) :], owner.geometry, extent)


def test_rows_out_of_range(tied):
    count = len(tied.run.ids)
    audit = tied.audit(count=count)
    data, extent = serialise_claims(audit.claims), Extent(count, True, len(audit.claims.rows))
    assert serialise_claims(parse_claims(data, tied.geometry, extent)) == data
    with pytest.raises(InputError, match="claimed rows holds"):
        parse_claims(data[:-2] + b"\x80\0", tied.geometry, extent)


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "opt"},
        {"architecture": 5},
        {"heads": "4"},
        {"heads": 3},
        {"kv_heads": 3},
        {"head_dim": 0},
        {"head_dim": 32},
        {"layers_total": 3},
    ],
)
def test_descriptors_that_cannot_be_audited(change, owner):
    d = owner.held.descriptor
    assert geometry_of(d).layers == (2, 3)
    with pytest.raises(InputError):
        geometry_of(replace(d, model={**d.model, **change}))


def test_audited_layers_that_do_not_fit(owner):
    d = owner.held.descriptor
    two, three = d.audited
    for audited, words in (
        ((), "no layer of this commitment can be audited"),
        ((three, two), "must rise"),
        ((two, replace(three, ffn=191)), "do not fit its model"),
        ((two, Audited(4, 64, 192)), "do not fit its model"),
    ):
        with pytest.raises(InputError, match=words):
            geometry_of(replace(d, audited=audited))
    for missing in ("ko3.o", "O", "E"):
        scales = {k: v for k, v in d.scales.items() if k != missing}
        with pytest.raises(InputError, match="lacks scales"):
            geometry_of(replace(d, scales=scales))


def test_exponents():
    for largest in (1e-9, 0.3, 1.0, 1.5, 700.0):
        e = hidden_exponent(np.array([largest, -largest / 3]))
        assert 2**19 <= largest * 2.0**e <= 2**20
    for wrong in (0.0, np.inf, np.nan):
        with pytest.raises(InputError):
            hidden_exponent(np.array([wrong, wrong]))


# --- the verifier's own tokenizer ----------------------------------------------------------------


def test_a_prompt_becomes_tokens_by_the_verifiers_tokenizer(owner, tmp_path, monkeypatch):
    assert tokenise(PROMPT, TOKENIZER) == owner.run.ids
    assert tokenise(PROMPT + " ", TOKENIZER) != owner.run.ids
    with pytest.raises(InputError, match="is not a file"):
        tokenise(PROMPT, tmp_path / "none.json")
    (tmp_path / "no.json").write_text("{}")
    with pytest.raises(InputError, match="no tokenizer"):
        tokenise(PROMPT, tmp_path / "no.json")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(EnvironmentLacks, match="pip install tokenizers"):
        tokenise(PROMPT, TOKENIZER)


# --- commands ------------------------------------------------------------------------------------

BLOCKER = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers", "safetensors", "onnx", "gguf"):
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Block())
from huref_zk.cli import main
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def folder(owner, tmp_path_factory):
    return write_owner(tmp_path_factory.mktemp("mine"), owner.held)


def command(*arguments) -> tuple[int, dict]:
    result = CliRunner().invoke(main, [*map(str, arguments), "--json"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, json.loads(result.stdout)


def blocked(*arguments):
    line = [sys.executable, "-c", BLOCKER, *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def audit_file(owner, folder):
    out = folder.parent / "a.hza"
    asked = ("--prompt", PROMPT, "--positions", 6, "--nonce", NONCE.hex(), "--out", out)
    code, answer = command("audit-inference", folder, "demo-base", *asked, "--keys", owner.cache)
    assert code == 0, answer
    assert answer["prompt_ids"] == list(owner.run.ids) and answer["positions"] == 6
    return out


def test_commands(owner, folder, audit_file, tmp_path, base_served):
    commitment = ("--commitment", folder / "commitment.hzc", "--keys", owner.cache)
    allowed = (*commitment, "--allow-test-setup")
    rest = ("--positions", 6, "--nonce", NONCE.hex())
    ids = ("--prompt-ids", ",".join(map(str, owner.run.ids)))
    text = ("--prompt", PROMPT, "--tokenizer", TOKENIZER)
    for prompt in (ids, text):
        code, answer = command("verify", audit_file, *allowed, *prompt, *rest)
        assert (code, answer["valid"]) == (0, True)
        assert [step["step"] for step in answer["steps"]] == [0, 1, 2, 3, 4, 5]
        assert answer["audit"]["prompt_checked"] and answer["logits"]["compared"] == 0
    served = tmp_path / "served.json"
    served.write_text(json.dumps(base_served))
    code, answer = command("verify", audit_file, *allowed, *ids, *rest, "--logits", served)
    assert code == 0 and answer["logits"]["compared"] == 6
    code, answer = command("verify", audit_file, *commitment, *ids, *rest)
    assert (code, answer["step"]) == (1, 2)
    other = ("--prompt", PROMPT + "\n", "--tokenizer", TOKENIZER)
    code, answer = command("verify", audit_file, *allowed, *other, *rest)
    assert (code, answer["step"]) == (1, 3)
    for wrong in (
        rest,
        (*ids, *text, *rest),
        (*ids, *rest[2:]),
        (*ids, *rest, "--all-positions"),
        (*ids, *rest[:2]),
        (*text[:2], *rest),  # a text and nothing to make tokens with
        (*ids, *text[2:], *rest),
    ):
        assert command("verify", audit_file, *allowed, *wrong)[0] == 2
    assert blocked("verify", audit_file, *allowed, *ids, *rest).returncode == 0


def test_another_model_makes_no_audit(owner, folder, tmp_path):
    out = ("--nonce", NONCE.hex(), "--keys", owner.cache, "--out", tmp_path / "x.hza")
    asked = ("--prompt-ids", "5,17,3", "--all-positions", *out)
    code, answer = command("audit-inference", folder, "demo-child", *asked)
    assert code == 1 and "adds other values" in answer["error"]
    assert not (tmp_path / "x.hza").exists()
    assert blocked("audit-inference", folder, "demo-base", *asked).returncode == 3
    assert command("audit-inference", folder, "demo-base", *asked)[0] == 0
