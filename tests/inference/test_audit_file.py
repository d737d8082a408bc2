"""Malformed audits, as files; the commands."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from huref_zk.cli import main
from huref_zk.commitment.file import write_commitment
from huref_zk.commitment.secret import create_secret
from huref_zk.curve.bn254 import R
from huref_zk.errors import InputError, StepFailed
from huref_zk.files.container import pack_container
from huref_zk.proofs.inference.claims import (
    FIELDS,
    claims_bytes,
    geometry_of,
    hidden_exponent,
    parse_claims,
    serialise_claims,
)
from huref_zk.proofs.inference.file import MAGIC, parse_audit, serialise_audit
from huref_zk.proofs.inference.verify import check_audit_file
from tests.support.audited import NONCE, PROMPT, SECRET


@pytest.fixture(scope="module")
def honest(owner):
    return owner.audit()


def rebuilt(audit, body=None, **header) -> bytes:
    data = serialise_audit(audit)
    fields = {k: v for k, v in (audit.header | header).items() if v is not None}
    start = 12 + int.from_bytes(data[8:12], "big")
    return pack_container(MAGIC, fields, [data[start:] if body is None else body])


@pytest.mark.parametrize(
    "header",
    [
        {"format": "huref-zk inference audit 2"},
        {"nonce": "AB" * 32},
        {"nonce": "ab"},
        {"nonce": 5},
        {"prompt": 5},
        {"prompt": "x" * 8193},
        {"tokens": 0},
        {"tokens": 4097},
        {"tokens": 19},
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
        {"scales": {"a": [10, 10]}},
        {"scales": {"a": [10], "mid": [10, 10]}},
        {"scales": {"a": [10, 65], "mid": [10, 10]}},
        {"scales": {"a": [10, "1"], "mid": [10, 10]}},
        {"scales": []},
        {"commitment_bytes": 0},
        {"commitment_bytes": 1 << 40},
        {"commitment_bytes": 5000},
        {"more": 1},
        {"scales": None},
    ],
)
def test_a_malformed_header(header, honest):
    parse_audit(rebuilt(honest))
    with pytest.raises(InputError):
        parse_audit(rebuilt(honest, **header))


def test_malformed_bodies(honest, tmp_path, owner):
    data = serialise_audit(honest)
    start = 12 + int.from_bytes(data[8:12], "big")
    body = data[start:]
    parse_audit(rebuilt(honest, body))
    for wrong in (body[:-1], body + b"\0", b"", body[:100], b"\0" + body[1:]):
        with pytest.raises(InputError):
            parse_audit(rebuilt(honest, wrong))
    for wrong in (b"", data[:9], b"HUREFZKC" + data[8:]):
        with pytest.raises(InputError):
            parse_audit(wrong)
    path = tmp_path / "a.hza"
    rest = (owner.commitment.root_hex, owner.demand(), owner.cache, True)
    with pytest.raises(InputError, match="is not a file"):
        check_audit_file(path, *rest)
    for content, step in ((data, None), (data[:-1], 0)):
        path.write_bytes(content)
        if step is None:
            check_audit_file(path, *rest)
            continue
        with pytest.raises(StepFailed) as caught:
            check_audit_file(path, *rest)
        assert caught.value.step == step


@pytest.mark.parametrize("where", ["point", "t", "response"])
def test_numbers_of_the_proof_that_are_none(where, honest, owner):
    from dataclasses import replace

    place = {"point": 0, "t": 32, "response": len(honest.proof) - 32}[where]
    wrong = R.to_bytes(32, "big") if place else b"\xff" * 32
    proof = honest.proof[:place] + wrong + honest.proof[place + 32 :]
    step, message = owner.refusal(replace(honest, proof=proof))
    assert step == 0 and ("canonical field element" in message or "compressed point" in message)


@pytest.mark.parametrize("name", FIELDS)
def test_claims_out_of_range(name, honest, owner):
    geometry = owner.geometry
    data = serialise_claims(honest.claims)
    assert len(data) == claims_bytes(geometry, 6)
    place = 0
    for field in FIELDS:
        if field == name:
            break
        place += np.asarray(getattr(honest.claims[0], field)).nbytes
    if name[0] == "r":
        wrong = [b"\x7f\xc0\0\0", bytes(4), b"\xbf\x80\0\0", np.array(2e6, ">f4").tobytes()]
    elif name[0] == "h":
        wrong = [b"\x7f\xc0\0\0", b"\x7f\x80\0\0", b"\xff\x80\0\0", np.array(1e31, ">f4").tobytes()]
    elif name in ("x_att", "x_ffn", "a", "mid"):
        wrong = [b"\x80\0\0\0", b"\x7f\xff\xff\xff", (2**21 + 1).to_bytes(4, "big")]
    else:
        wrong = [b"\x80" + bytes(7), b"\x7f" + b"\xff" * 7, (2**62 + 1).to_bytes(8, "big")]
    assert serialise_claims(parse_claims(data, geometry, 6)) == data
    for value in wrong:
        with pytest.raises(InputError, match=f"claimed {name} holds"):
            parse_claims(data[:place] + value + data[place + len(value) :], geometry, 6)


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "opt"},
        {"architecture": 5},
        {"heads": "4"},
        {"heads": 3},
        {"kv_heads": 3},
        {"head_dim": 0},
        {"ffn": 191},
    ],
)
def test_descriptors_that_cannot_be_audited(change, owner):
    d = owner.commitment.descriptor
    assert geometry_of(d).layers == (2, 3)
    with pytest.raises(InputError):
        geometry_of(d | {"model": d["model"] | change})
    scales = {k: v for k, v in d["scales"].items() if k != "V1f"}
    with pytest.raises(InputError, match="lacks scales"):
        geometry_of(d | {"scales": scales})


def test_exponents():
    for largest in (1e-9, 0.3, 1.0, 1.5, 700.0):
        e = hidden_exponent(np.array([largest, -largest / 3]))
        assert 2**19 <= largest * 2.0**e <= 2**20
    for wrong in (0.0, np.inf, np.nan):
        with pytest.raises(InputError):
            hidden_exponent(np.array([wrong, wrong]))


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
def files(owner, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    write_commitment(folder / "commitment.hzc", owner.commitment)
    create_secret(folder / "secret.key", SECRET)
    return folder


def command(*arguments) -> tuple[int, dict]:
    result = CliRunner().invoke(main, [*map(str, arguments), "--json"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, json.loads(result.stdout)


def test_commands(owner, files):
    out = files / "a.hza"
    commitment = ("--commitment", files / "commitment.hzc", "--keys", owner.cache)
    asked = ("--prompt", PROMPT, "--positions", 6, "--nonce", NONCE.hex())
    make = (*commitment, "--secret", files / "secret.key", *asked, "--out", out)
    code, answer = command("audit-inference", "demo-base", *make)
    assert code == 0, answer
    assert answer["prompt_ids"] == list(owner.run.ids) and answer["positions"] == 6
    ids = ("--prompt-ids", ",".join(map(str, owner.run.ids)), *asked[2:])
    for wanted in (asked, ids):
        code, answer = command("check-audit", out, *commitment, *wanted, "--allow-test-setup")
        assert (code, answer["valid"]) == (0, True)
        assert [step["step"] for step in answer["steps"]] == [0, 1, 2, 3, 4, 5]
        assert answer["prompt_ids_checked"] == (wanted is ids)
    code, answer = command("check-audit", out, *commitment, *asked)
    assert (code, answer["step"]) == (1, 2)
    for wrong in (
        asked[2:],
        (*asked, *ids[:2]),
        (*asked[:2], *asked[4:]),
        (*asked, "--all-positions"),
    ):
        assert command("check-audit", out, *commitment, *wrong)[0] == 2
    code, answer = command("audit-inference", "demo-child", *make)
    assert code == 2 and "not one of this model" in answer["error"]

    def blocked(*arguments):
        line = [sys.executable, "-c", BLOCKER, *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    done = blocked("check-audit", out, *commitment, *asked, "--allow-test-setup")
    assert done.returncode == 0, done.stderr
    assert blocked("audit-inference", "demo-base", *make).returncode == 3
