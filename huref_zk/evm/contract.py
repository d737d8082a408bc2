"""The contract, the key that it is deployed for, and the calldata that it checks.

ezkl writes two kinds of contract. The one with the key inside is too large for any Ethereum block
chain (over 100 KB; 24,576 bytes are allowed). The one used here is the same for every circuit and
gets the circuit's key as an argument. HurefCircuit.sol guards it.
"""

from __future__ import annotations

import hashlib
import tempfile
from importlib import resources
from pathlib import Path

from huref_zk.circuit.halo2 import HEAD_POINTS, POINT_BYTES
from huref_zk.circuit.keys import Keys
from huref_zk.curve.bn254 import R
from huref_zk.errors import EnvironmentLacks, HurefError
from huref_zk.files.container import read_bounded
from huref_zk.native import ezkl as runner
from huref_zk.native.ezkl import EzklFailed
from huref_zk.proofs.picture.file import Bundle
from huref_zk.srs.file import Srs

EZKLS = "b426d5f31e2f9d327baac7d9415dd135df06a6d2628f971ae7446c4bffbcd80f"
"""SHA-256 of the contract that ezkl 23.0.5 writes."""
LICENCE = "// SPDX-License-Identifier: MIT AND Apache-2.0\n"
CHECK = "check(bytes,uint256[],bytes32[])"
COLUMNS = 4
"""Columns whose commitments, 64 bytes each, open ezkl's proof: see circuit/graph.py."""
TIMEOUT = 300.0
MEMORY = 8 << 30
MAX_KEY = 1 << 20


def source(keys: Keys, srs: Srs) -> str:
    """The Solidity file: ezkl's contract and, after it, ours, `HurefCircuit`.

    It is the same for all keys that ezkl can make it from. EzklFailed if it writes another one.
    """
    ours = resources.files("huref_zk").joinpath("evm", "HurefCircuit.sol").read_text("utf-8")
    theirs = _ezkls(keys, srs)
    if hashlib.sha256(theirs).hexdigest() != EZKLS:
        raise EzklFailed("ezkl wrote another contract than the one that this program knows")
    bodies = [text.partition("\n")[2] for text in (theirs.decode(), ours)]  # licence lines off
    return LICENCE + "\n".join(bodies)


def _ezkls(keys: Keys, srs: Srs) -> bytes:
    with tempfile.TemporaryDirectory(prefix="huref-zk-") as folder:
        path = Path(folder) / "theirs.sol"
        try:
            runner.run(
                "create_evm_verifier",
                timeout=TIMEOUT,
                memory=MEMORY,
                vk_path=keys.vk,
                settings_path=keys.settings,
                sol_code_path=path,
                abi_path=path.with_suffix(".abi"),
                srs_path=srs.path,
                reusable=True,
            )
        except EzklFailed:
            # After the contract ezkl wants its ABI, for which it needs a compiler.
            if not path.exists():
                raise
        return read_bounded(path, MAX_KEY)


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


def circuit_proof(bundle: Bundle) -> bytes:
    """ezkl's part of a bundle's proof: what the contract checks. It opens with the commitments to
    COLUMNS columns; that these follow from the row commitments before it, `verify` checks."""
    return bundle.proof[POINT_BYTES * HEAD_POINTS :]


def calldata(bundle: Bundle, words: bytes) -> bytes:
    """The call of `check` for this bundle's proof and v."""
    proof = circuit_proof(bundle)
    body = _number(len(proof)) + proof + bytes(-len(proof) % 32)
    v = _number(len(bundle.v)) + b"".join(_number(x % R) for x in bundle.v)
    key = _number(len(words) // 32) + words
    starts, start = [], 32 * 3
    for part in (body, v, key):
        starts.append(_number(start))
        start += len(part)
    return keccak256(CHECK.encode())[:4] + b"".join((*starts, body, v, key))


def digests(bundle: Bundle) -> tuple[bytes, bytes]:
    """What the contract's event says of this bundle: keccak256 of its column commitments, and of
    v."""
    columns = circuit_proof(bundle)[: 64 * COLUMNS]
    return keccak256(columns), keccak256(b"".join(_number(x % R) for x in bundle.v))


def keccak256(data: bytes) -> bytes:
    """Ethereum's hash. EnvironmentLacks without pycryptodome."""
    try:
        from Crypto.Hash import keccak
    except ImportError as e:
        raise EnvironmentLacks(
            f"a contract needs pycryptodome ({e}); install the extra 'evm'"
        ) from e
    return keccak.new(digest_bits=256, data=data).digest()


def _number(value: int) -> bytes:
    return value.to_bytes(32, "big")
