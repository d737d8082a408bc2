"""The contract on a local Ethereum machine: it takes honest proofs, and only them."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace

import pytest
from click.testing import CliRunner

from huref_zk.circuit.graph import OUTPUTS
from huref_zk.cli import main
from huref_zk.evm import contract
from huref_zk.evm.contract import circuit_proof, keccak256
from huref_zk.native.ezkl import EzklFailed
from tests.support import build_contract

COMPILED = json.loads(build_contract.FIXTURE.read_text())
ACCOUNT = "0x" + "11" * 20
VERIFY = keccak256(b"verifyProof(bytes,uint256[],bytes32[])")[:4]
REGISTER = keccak256(b"registerVka(bytes32[])")[:4]


class Machine:
    """An Ethereum machine with the limits of the main network."""

    def __init__(self) -> None:
        revm = pytest.importorskip("pyrevm")
        self.evm = revm.EVM(spec_id="CANCUN")
        self.evm.set_balance(ACCOUNT, 10**20)

    def deploy(self, name: str, argument: bytes = b"") -> str:
        return self.evm.deploy(ACCOUNT, bytes.fromhex(COMPILED[name]["creation"]) + argument)

    def call(self, address: str, data: bytes) -> bytes | None:
        """What the contract returns; None if it reverts."""
        try:
            return self.evm.message_call(ACCOUNT, address, calldata=data)
        except RuntimeError as e:
            assert "Revert" in str(e), e
            return None

    @property
    def gas(self) -> int:
        return self.evm.result.gas_used


@pytest.fixture(scope="module")
def words(chain) -> bytes:
    return contract.key_words(chain.keys, chain.srs)


@pytest.fixture(scope="module")
def source(chain) -> str:
    return contract.source(chain.keys, chain.srs)


@pytest.fixture
def deployed(words):
    """(machine, address) of the contract for the chain's circuit."""
    machine = Machine()
    return machine, machine.deploy("HurefCircuit", contract.key_digest(words))


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def changed(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


# --- what is deployed ----------------------------------------------------------------------------


def test_the_compiled_source_is_the_one_that_is_written(source):
    assert COMPILED["source"] == hashlib.sha256(source.encode()).hexdigest()
    assert source.count("SPDX-License-Identifier") == 1


@pytest.mark.skipif(shutil.which("solc") is None, reason="no solc on the PATH")
def test_the_compiler_gives_the_same_code(source):
    if build_contract.version() != COMPILED["solc"]:
        pytest.skip(f"compiled with solc {COMPILED['solc']}")
    assert build_contract.compiled(source) == COMPILED


def test_ezkl_writes_the_contract_that_is_known(chain, tmp_path, monkeypatch):
    """Without a network, and with nothing left in the caller's home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    source = contract.source(chain.keys, chain.srs)
    assert len(source) > 50_000 and "contract Halo2VerifierReusable" in source
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(contract, "EZKLS", "0" * 64)
    with pytest.raises(EzklFailed, match="another contract"):
        contract.source(chain.keys, chain.srs)


# --- proofs --------------------------------------------------------------------------------------


def test_an_honest_proof_is_accepted_and_named(chain, words, deployed):
    machine, address = deployed
    call = contract.calldata(chain.bundle, words)
    columns, v = contract.digests(chain.bundle)
    for logs in (2, 1):  # the first call registers the key
        assert machine.call(address, call) == columns
        assert len(machine.evm.result.logs) == logs
        event = machine.evm.result.logs[-1]
        topics = [bytes.fromhex(topic.removeprefix("0x")) for topic in event.topics]
        assert topics == [keccak256(b"Proven(bytes32,bytes32)"), columns, v]
    assert 8_000_000 < machine.gas < 12_000_000  # docs/evm.md says which


def test_the_figures_of_the_page(words, deployed, chain):
    """Within a hundredth: what the proof's bytes cost depends on how many are zero."""
    page = (build_contract.FIXTURE.parents[3] / "docs" / "evm.md").read_text()
    machine, address = deployed
    told = [machine.gas]
    for _ in range(2):
        assert machine.call(address, contract.calldata(chain.bundle, words)) is not None
        told.append(machine.gas)
    rows = [line for line in page.splitlines() if line.startswith("| ") and " gas |" in line]
    written = [int(row.split("|")[2].replace("gas", "").replace(",", "")) for row in rows]
    assert written == pytest.approx(told, rel=0.01)


def proven_by(bundle, proof: bytes):
    """The bundle with another circuit proof."""
    head = len(bundle.proof) - len(circuit_proof(bundle))
    return replace(bundle, proof=bundle.proof[:head] + proof)


def test_false_proofs_are_refused(chain, words, deployed):
    machine, address = deployed
    honest = contract.calldata(chain.bundle, words)
    proof, v = circuit_proof(chain.bundle), chain.bundle.v
    assert machine.call(address, honest) is not None
    places = {
        "a column commitment's x": 40,
        "another column's": 64 * 3 + 5,
        "an evaluation": len(proof) - 2000,
        "the last point": len(proof) - 1,
    }
    false = {what: proven_by(chain.bundle, changed(proof, i)) for what, i in places.items()}
    exchanged = proof[64:128] + proof[:64] + proof[128:]
    false["two columns exchanged"] = proven_by(chain.bundle, exchanged)
    false["v by one"] = replace(chain.bundle, v=(v[0] + 1, *v[1:]))
    false["v cut"] = replace(chain.bundle, v=v[:-1])
    false["v and what follows it"] = replace(chain.bundle, v=(*v, 12, 0, 0, 0))
    false["the proof cut"] = proven_by(chain.bundle, proof[:-32])
    for what, bundle in false.items():
        assert machine.call(address, contract.calldata(bundle, words)) is None, what
    assert machine.call(address, honest) is not None
    longer = proven_by(chain.bundle, proof + bytes(32))  # what follows a proof is ignored
    assert machine.call(address, contract.calldata(longer, words)) == contract.digests(longer)[0]


def test_the_conditions_are_the_contracts_to_demand(chain, words, deployed):
    """ezkl's contract takes whatever outputs it is told; ours fills in what must follow v."""
    machine, address = deployed
    theirs = machine.deploy("Halo2VerifierReusable")
    key = word(32) + word(len(words) // 32) + words
    assert machine.call(theirs, REGISTER + key) == contract.key_digest(words)
    rest = (12, 0, 0, 0)
    assert len(chain.bundle.v) + len(rest) == OUTPUTS
    whole = replace(chain.bundle, v=(*chain.bundle.v, *rest))
    assert machine.call(theirs, VERIFY + contract.calldata(whole, words)[4:]) is not None
    for other in ((11, 0, 0, 0), (12, 1, 0, 0), (12, 0, 0, -1)):
        bundle = replace(chain.bundle, v=(*chain.bundle.v, *other))
        assert machine.call(theirs, VERIFY + contract.calldata(bundle, words)[4:]) is None
    assert machine.call(address, contract.calldata(chain.bundle, words)) is not None


def test_a_number_is_written_in_one_way(chain, words, deployed):
    """v + r stands for the same element of the field, but is another call's argument."""
    machine, address = deployed
    honest = contract.calldata(chain.bundle, words)
    first = word(chain.bundle.v[0] % contract.R)
    start = honest.index(first, 4 + 96 + len(circuit_proof(chain.bundle)))
    number = word(chain.bundle.v[0] % contract.R + contract.R)
    assert machine.call(address, honest[:start] + number + honest[start + 32 :]) is None
    assert machine.call(address, honest[:start] + first + honest[start + 32 :]) is not None


def test_another_proof_is_no_proof_of_this_vector(chain, stranger, words, deployed):
    machine, address = deployed
    for bundle in (chain.bundle, stranger.bundle):
        assert machine.call(address, contract.calldata(bundle, words)) is not None
    mixed = replace(chain.bundle, v=stranger.bundle.v)
    assert machine.call(address, contract.calldata(mixed, words)) is None


def test_only_the_key_that_it_was_deployed_for(chain, words, deployed):
    """A changed key is refused before it is registered and after; so is a contract for another."""
    machine, address = deployed
    other = changed(words, len(words) - 40)
    for _ in range(2):
        assert machine.call(address, contract.calldata(chain.bundle, other)) is None
        assert machine.call(address, contract.calldata(chain.bundle, words)) is not None
    elsewhere = machine.deploy("HurefCircuit", contract.key_digest(other))
    assert machine.call(elsewhere, contract.calldata(chain.bundle, words)) is None


def moved(selector: bytes, proof: bytes, v: tuple[int, ...], words: bytes, usual: bytes) -> bytes:
    """A call in which ``usual`` lies where a proof usually does, and the honest one behind all."""
    outputs = word(len(v)) + b"".join(word(x % contract.R) for x in v)
    key = word(len(words) // 32) + words
    start = 96 + 32 + len(proof)
    heads = (start + len(outputs) + len(key), start, start + len(outputs))
    body = word(len(proof)) + usual + outputs + key + word(len(proof)) + proof
    return selector + b"".join(map(word, heads)) + body


def test_the_proof_is_read_where_the_call_says(chain, words, deployed):
    """ezkl's contract computes with what lies at one fixed place, wherever the call says that the
    proof is; behind ours, it always is there."""
    machine, address = deployed
    theirs = machine.deploy("Halo2VerifierReusable")
    key = word(32) + word(len(words) // 32) + words
    assert machine.call(theirs, REGISTER + key) == contract.key_digest(words)
    ours = contract.calldata(chain.bundle, words)
    assert machine.call(address, ours) is not None
    proof, v = circuit_proof(chain.bundle), chain.bundle.v
    assert len(proof) % 32 == 0
    outputs = (*v, 12, 0, 0, 0)
    for usual, direct in ((proof, True), (changed(proof, len(proof) - 2000), False)):
        told = machine.call(theirs, moved(VERIFY, proof, outputs, words, usual))
        assert (told is not None) == direct
        assert machine.call(address, moved(ours[:4], proof, v, words, usual)) is not None


# --- keys, hash, command -------------------------------------------------------------------------


def test_the_hash_is_ethereums():
    """Not SHA-3's: the best known hash of all, of the event of every token."""
    event = keccak256(b"Transfer(address,address,uint256)").hex()
    assert event == "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


def test_command(chain, words, source, tmp_path):
    out, call = tmp_path / "verifier.sol", tmp_path / "call.hex"
    line = ["evm-verifier", chain.bundle_file, "--out", out, "--calldata", call]
    line = [*map(str, line), "--keys", str(chain.cache), "--json"]
    done = CliRunner().invoke(main, [*line, "--allow-test-setup"])
    assert done.exit_code == 0, done.stdout
    answer = json.loads(done.stdout)
    assert answer["key"] == "0x" + contract.key_digest(words).hex()
    columns, v = contract.digests(chain.bundle)
    assert (answer["columns"], answer["v"]) == ("0x" + columns.hex(), "0x" + v.hex())
    assert out.read_text() == source and answer["test_setup"]
    assert bytes.fromhex(call.read_text()) == contract.calldata(chain.bundle, words)
    for path in (out, call):
        path.unlink()
    refused = CliRunner().invoke(main, line)
    assert refused.exit_code == 2 and "TEST setup" in json.loads(refused.stdout)["error"]
    line[1] = str(chain.commitment_file)
    broken = CliRunner().invoke(main, [*line, "--allow-test-setup"])
    assert broken.exit_code == 2 and "other bytes" in json.loads(broken.stdout)["error"]
    assert not out.exists() and not call.exists()
