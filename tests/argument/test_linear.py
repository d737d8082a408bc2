"""Linear relations between claims and committed rows: honest ones hold, false ones are named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from huref_zk.argument.linear import (
    combine,
    parse_linear,
    prove_linear,
    read_by,
    response_lengths,
    serialise_linear,
    standing,
    verify_linear,
    written_by,
)
from huref_zk.argument.transcript import Transcript
from huref_zk.curve.bn254 import GENERATOR, R
from huref_zk.errors import InputError
from tests.support.small_owner import AUDITED, small_owner, small_srs

MATRICES = ("qv1", "down1", "O", "E", "C")
ORDER = ("qv1", "E", "C", "down1", "O", "rows")
ROWS = [5, 0, 5]  # of C; one of them twice


@pytest.fixture(scope="module")
def srs(tmp_path_factory):
    return small_srs(tmp_path_factory.mktemp("srs"))


@pytest.fixture(scope="module")
def owner(srs):
    return small_owner(srs, audited=AUDITED, output=True)


def claims_of(owner):
    """x and y = x M, or a and y = a M^T, for one relation about each of MATRICES."""
    rng = np.random.default_rng(3)
    wide = {name: owner.witness.values(name).astype(np.int64) for name in MATRICES}

    def draw(columns):
        return rng.integers(-(1 << 20), 1 << 20, (5, columns))

    found = {name: draw(wide[name].shape[0]) for name in ("qv1", "E", "C")}
    found |= {name: draw(wide[name].shape[1]) for name in ("down1", "O")}
    results = {name: found[name] @ wide[name] for name in ("qv1", "E", "C")}
    results |= {name: found[name] @ wide[name].T for name in ("down1", "O")}
    return found, results | {"rows": wide["C"][ROWS]}


def relations_of(owner, given, results):
    d, transcript = owner.descriptor, Transcript(b"test")
    for name in MATRICES:
        transcript.absorb(name, given[name].tobytes() + results[name].tobytes())
    transcript.absorb("rows", results["rows"].tobytes())
    found = []
    for name in ("qv1", "E", "C"):
        half = results[name].shape[1] // 2
        parts = [(0, results[name][:, :half]), (half, results[name][:, half:])]
        found.append(read_by(d, name, name, given[name], parts, transcript))
    for name in ("down1", "O"):
        found.append(written_by(d, name, name, 0, given[name], results[name], transcript))
    found.append(standing(d, "rows", "C", ROWS, results["rows"], transcript))
    return found, transcript


def refusal(owner, srs, given, results, proof=None):
    """Why the verifier refuses; "" if it accepts. proof: default an honestly computed one."""
    if proof is None:
        proof = prove_linear(owner, *relations_of(owner, given, results), srs)
    found, transcript = relations_of(owner, given, results)
    try:
        verify_linear(owner.commitment, found, proof, transcript, srs)
    except InputError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def honest(owner, srs):
    given, results = claims_of(owner)
    proof = prove_linear(owner, *relations_of(owner, given, results), srs)
    assert refusal(owner, srs, given, results, proof) == ""
    return given, results, proof


@pytest.mark.parametrize("name", ORDER)
def test_one_unit_in_one_result(name, honest, owner, srs):
    given, results, _ = honest
    changed = results[name].copy()
    changed[2, -1] += 1
    words = refusal(owner, srs, given, {**results, name: changed})
    assert words == f"{name}: not what the committed rows give"


@pytest.mark.parametrize("name", ORDER)
def test_a_response_that_is_not_of_the_committed_rows(name, honest, owner, srs):
    """A salt of a response changed: no form sees it, the committed points do."""
    given, results, proof = honest
    index = ORDER.index(name)
    part = proof[index]
    salt = len(part.response) - 1
    response = (*part.response[:salt], (part.response[salt] + 1) % R)
    parts = list(proof)
    parts[index] = replace(part, response=response)
    words = refusal(owner, srs, given, results, parts)
    assert words == f"{name}: the response is not of the committed rows"


def test_a_proof_for_other_claims(honest, owner, srs):
    """Every claim is hashed before the first message."""
    given, results, proof = honest
    other, wide = given["qv1"].copy(), owner.witness.values("qv1").astype(np.int64)
    other[0, 0] += 1
    again = ({**given, "qv1": other}, {**results, "qv1": other @ wide})
    assert refusal(owner, srs, *again) == ""
    assert refusal(owner, srs, *again, proof) != ""


@pytest.mark.parametrize("change", ["mask", "image"])
def test_first_messages(change, honest, owner, srs):
    given, results, proof = honest
    other = {"mask": GENERATOR, "image": (proof[0].image + 1) % R}[change]
    parts = [replace(proof[0], **{change: other}), *proof[1:]]
    assert refusal(owner, srs, given, results, parts) != ""


def test_bytes(honest, owner):
    _, _, proof = honest
    matrices = ["qv1", "E", "C", "down1", "O", "C"]
    data = serialise_linear(proof)
    assert parse_linear(data, owner.descriptor, matrices) == proof
    assert len(data) == 32 * (12 + sum(response_lengths(owner.descriptor, matrices)))
    for wrong in (
        data[:-1],
        data + b"\0",
        b"\xff" * 32 + data[32:],
        data[:32] + R.to_bytes(32, "big") + data[64:],
        data[:-32] + R.to_bytes(32, "big"),
    ):
        with pytest.raises(InputError):
            parse_linear(wrong, owner.descriptor, matrices)


def test_masks_are_fresh(honest, owner, srs):
    """Two proofs share no first message: their responses together would give rows away."""
    given, results, proof = honest
    wide = owner.witness.values("O").astype(np.int64)
    other = given["O"] + 1
    again = relations_of(owner, {**given, "O": other}, {**results, "O": other @ wide.T})
    second = prove_linear(owner, *again, srs)
    assert not {part.mask for part in proof} & {part.mask for part in second}


def test_a_public_models_relations(srs):
    owner = small_owner(srs, audited=AUDITED, output=True, public=True)
    assert refusal(owner, srs, *claims_of(owner)) == ""


def test_combinations_of_64_bit_integers():
    rng = np.random.default_rng(0)
    values = rng.integers(-(1 << 62), 1 << 62, (40, 7))
    weights = [int.from_bytes(rng.bytes(32), "big") % R for _ in range(39)] + [R - 1]
    expected = [
        sum(w * v for w, v in zip(weights, column, strict=True)) % R for column in values.T.tolist()
    ]
    assert combine(weights, values) == expected
