"""``python -m tests.support.build_contract FILE``: compile what `huref-zk evm-verifier` wrote with
the solc on the PATH, and write tests/fixtures/evm/HurefCircuit.json. The tests deploy what lies
there, as no Python package that we know of brings a solc."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from huref_zk.evm.contract import LICENCE

FIXTURE = Path(__file__).parents[1] / "fixtures" / "evm" / "HurefCircuit.json"
SETTINGS = {
    "optimizer": {"enabled": True, "runs": 1},
    "evmVersion": "cancun",
    "metadata": {"appendCBOR": False, "bytecodeHash": "none"},
    "outputSelection": {"*": {"*": ["evm.bytecode.object", "evm.deployedBytecode.object"]}},
}


def version() -> str:
    """Of the solc on the PATH, for example 0.8.28+commit.7893614a."""
    done = subprocess.run(["solc", "--version"], capture_output=True, text=True, check=True)
    return done.stdout.split("Version: ")[-1].strip().removesuffix(".Emscripten.clang")


def compiled(text: str) -> dict:
    """The compiler's version, the source's licence and SHA-256, and of both contracts the code in
    hex."""
    job = {
        "language": "Solidity",
        "sources": {"verifier.sol": {"content": text}},
        "settings": SETTINGS,
    }
    done = subprocess.run(
        ["solc", "--standard-json"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=True,
    )
    contracts = json.loads(done.stdout)["contracts"]["verifier.sol"]
    return {
        "solc": version(),
        "licence": LICENCE.split(": ")[1].strip(),
        "source": hashlib.sha256(text.encode()).hexdigest(),
        **{
            name: {
                "creation": contracts[name]["evm"]["bytecode"]["object"],
                "deployed_bytes": len(contracts[name]["evm"]["deployedBytecode"]["object"]) // 2,
            }
            for name in ("HurefCircuit", "Halo2VerifierReusable")
        },
    }


if __name__ == "__main__":
    FIXTURE.parent.mkdir(exist_ok=True)
    text = Path(sys.argv[1]).read_text()
    FIXTURE.write_text(json.dumps(compiled(text), indent=1, sort_keys=True) + "\n")
