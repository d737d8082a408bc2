"""Proofs of the smallest circuit: what is accepted, and what is not."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from huref_zk.circuit import halo2
from huref_zk.commitment.kzg import blank
from huref_zk.curve import bn254
from huref_zk.errors import EnvironmentLacks, HurefError, InputError
from huref_zk.invariants.encoder import CONDITIONS, encode_exact, load_encoder
from huref_zk.invariants.sketch import LEFT, RIGHT
from huref_zk.native import ezkl
from tests.support.circuit_rows import maps_of, random_rows

HEAD = halo2.POINT_BYTES * halo2.HEAD_POINTS


@pytest.fixture(scope="module")
def rows(derived):
    return random_rows(derived.shape)


@pytest.fixture(scope="module")
def outputs(derived, rows):
    return [*encode_exact(load_encoder(), maps_of(rows), derived.shape.shift), CONDITIONS]


@pytest.fixture(scope="module")
def proof(derived, rows, outputs):
    return halo2.prove(rows, outputs, derived.keys, derived.srs, lambda _: None)


@pytest.fixture
def fault(derived, proof, outputs):
    """What is wrong with a proof: the honest one by default, for the honest outputs by default."""

    def found(made: bytes = proof, claimed: list[int] = outputs) -> str | None:
        return halo2.check(made, claimed, derived.keys, derived.srs)

    return found


def test_an_honest_proof(fault):
    assert fault() is None


def test_the_head_commits_to_the_rows(derived, proof, rows):
    """<Y_i> and <B_i> as anybody commits to them, here through the Lagrange points."""
    constant = halo2.blank_point(derived.keys, derived.srs)
    assert constant == blank(derived.srs, derived.keys.record.unusable)
    points = halo2.without_blank(halo2.committed_points(proof, LEFT + RIGHT), constant)
    for i in (0, 31, 32, 47):
        generators = derived.srs.lagrange(0, len(rows[i]))
        assert points[i] == bn254.msm(generators, rows[i])


@pytest.mark.parametrize("place", [0, 511, 512])
def test_other_outputs(fault, outputs, place):
    """An entry of v, or the number of conditions."""
    claimed = list(outputs)
    claimed[place] -= 1
    assert "does not verify" in (fault(claimed=claimed) or "")


@pytest.mark.parametrize("place", [0, 17, 31, 32, 47, 48])
def test_another_row_commitment(fault, proof, place):
    """A left row's, a right row's or the maps' point taken from its neighbour."""
    at, other = 32 * place, 32 * (place - 1 if place else 1)
    made = proof[:at] + proof[other : other + 32] + proof[at + 32 :]
    assert fault(made) == "it is not about the columns that follow from the row commitments"


def test_a_proof_over_other_rows(derived, fault, proof):
    """The head of one proof before the Halo2 proof of another."""
    rows = random_rows(derived.shape, 1)
    claimed = [*encode_exact(load_encoder(), maps_of(rows), derived.shape.shift), CONDITIONS]
    other = halo2.prove(rows, claimed, derived.keys, derived.srs, lambda _: None)
    assert fault(other, claimed) is None
    for made in (other[:HEAD] + proof[HEAD:], proof[:HEAD] + other[HEAD:]):
        assert "not about the columns" in (fault(made, claimed) or "")
    assert "does not verify" in (fault(other) or "")


def test_the_proof_has_an_end(fault, proof):
    assert fault(proof + b"\0") == "bytes follow its end"
    assert "does not verify" in (fault(proof[:-1]) or "")


@pytest.mark.parametrize("place", [HEAD + 256, HEAD + 5000, -33])
def test_a_changed_byte(fault, proof, place):
    made = bytearray(proof)
    made[place] ^= 1
    assert "does not verify" in (fault(bytes(made)) or "")


def test_a_head_that_is_no_points(fault, proof):
    with pytest.raises(InputError, match="too short"):
        fault(proof[: HEAD - 1])
    with pytest.raises(InputError):
        fault(b"\xff" * 32 + proof[32:])


def test_the_prover_finds_out_that_it_is_wrong(derived, rows, outputs):
    with pytest.raises(HurefError, match="another output"):
        claimed = [outputs[0] + 1, *outputs[1:]]
        halo2.prove(rows, claimed, derived.keys, derived.srs, lambda _: None)


def test_a_verifier_that_is_stopped_says_nothing_about_the_proof(fault, monkeypatch):
    monkeypatch.setattr(halo2, "VERIFY_SECONDS", 0.01)
    with pytest.raises(EnvironmentLacks):
        fault()


def test_keys_of_another_circuit(derived, proof, outputs):
    """The weights hang on the verifying key that is named in the keys' record."""
    keys = replace(derived.keys, record=replace(derived.keys.record, vk="00" * 32))
    found = halo2.check(proof, outputs, keys, derived.srs)
    assert found == "it is not about the columns that follow from the row commitments"


def test_rows_do_not_stay_on_disk(derived, rows, outputs, monkeypatch):
    """They lie in a folder that nobody else can read, and that goes when anything fails."""
    seen: list[Path] = []

    def fails(call: str, **arguments: object) -> None:
        folder = Path(str(arguments["data"])).parent
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        assert (folder / "input.json").stat().st_size > 10_000
        seen.append(folder)
        raise EnvironmentLacks("killed")

    monkeypatch.setattr(ezkl, "run", fails)
    with pytest.raises(EnvironmentLacks, match="killed"):
        halo2.prove(rows, outputs, derived.keys, derived.srs, lambda _: None)
    assert len(seen) == 1 and not seen[0].exists()
