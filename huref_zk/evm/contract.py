"""The contract, the key that it is deployed for, and the calldata that it checks.

ezkl writes two kinds of contract. The one with the key inside is too large for any Ethereum block
chain (over 100 KB; 24,576 bytes are allowed). The one used here, Halo2VerifierReusable.sol, is the
same for every circuit and gets the circuit's key as an argument; it lies here as ezkl writes it, as
making it anew would have ezkl download a compiler. HurefCircuit.sol guards it.
"""

from __future__ import annotations

import tempfile
from importlib import resources
from pathlib import Path

from huref_zk.bundle import Bundle
from huref_zk.circuit import runner
from huref_zk.circuit.keys import Keys
from huref_zk.circuit.runner import EzklFailed
from huref_zk.commit.bn254 import R
from huref_zk.commit.srs import Srs
from huref_zk.container import read_bounded
from huref_zk.errors import HurefError
from huref_zk.evm.keccak import keccak256
from huref_zk.verify import ROWS

LICENCE = "// SPDX-License-Identifier: MIT AND Apache-2.0\n"
CHECK = "check(bytes,uint256[],bytes32[])"
TIMEOUT = 300.0
MEMORY = 8 << 30
MAX_KEY = 1 << 20


def source() -> str:
    """The Solidity file: ezkl's contract and, after it, ours, `HurefCircuit`."""
    folder = resources.files("huref_zk").joinpath("evm")
    parts = [
        folder.joinpath(name).read_text(encoding="utf-8").partition("\n")[2]  # licence line off
        for name in ("Halo2VerifierReusable.sol", "HurefCircuit.sol")
    ]
    return LICENCE + "\n".join(parts)


def key_words(keys: Keys, srs: Srs) -> bytes:
    """The words of 32 bytes in which ezkl's contract wants a verifying key.

    EzklFailed for a circuit that they cannot describe.
    """
    with tempfile.TemporaryDirectory(prefix="huref-zk-") as folder:
        path = Path(folder) / "key"
        try:
            runner.run(
                "create_evm_vka",
                timeout=TIMEOUT,
                memory=MEMORY,
                vk_path=keys.vk,
                settings_path=keys.settings,
                vka_path=path,
                srs_path=srs.path,
            )
        except EzklFailed as e:
            raise EzklFailed(
                f"ezkl has no contract for circuit {keys.folder.name}: large ones do not fit its "
                f"addresses of 16 bits (docs/evm.md); {e}"
            ) from e
        data = read_bounded(path, MAX_KEY)
    count = int.from_bytes(data[:8], "little")
    if len(data) != 8 + 32 * count:
        raise HurefError("ezkl wrote a key in a form that this program does not know")
    return data[8:]


def key_digest(words: bytes) -> bytes:
    """32 bytes that name the key: the argument that `HurefCircuit` is deployed with."""
    return keccak256(words)


def calldata(bundle: Bundle, words: bytes) -> bytes:
    """The call of `check` for this bundle's proof and v."""
    proof = _number(len(bundle.proof)) + bundle.proof + bytes(-len(bundle.proof) % 32)
    v = _number(len(bundle.v)) + b"".join(_number(x % R) for x in bundle.v)
    key = _number(len(words) // 32) + words
    starts, start = [], 32 * 3
    for part in (proof, v, key):
        starts.append(_number(start))
        start += len(part)
    return keccak256(CHECK.encode())[:4] + b"".join((*starts, proof, v, key))


def digests(bundle: Bundle) -> tuple[bytes, bytes]:
    """What the contract's event says of this bundle: keccak256 of its row commitments, and of v."""
    return keccak256(bundle.proof[: 64 * ROWS]), keccak256(
        b"".join(_number(x % R) for x in bundle.v)
    )


def _number(value: int) -> bytes:
    return value.to_bytes(32, "big")
