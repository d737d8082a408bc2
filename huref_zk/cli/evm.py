"""`huref-zk evm-verifier`: a contract that checks the circuit part of a proof."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from huref_zk.cli.common import Output, with_output
from huref_zk.cli.options import setup_options
from huref_zk.cli.outputs import IN, OUT, Writes, force_option

if TYPE_CHECKING:
    from huref_zk.proofs.kernel import Setup


@click.command("evm-verifier")
@click.argument("bundle", type=IN)
@click.option("--out", type=Writes(".sol"), required=True, help="The contract (Solidity).")
@click.option("--calldata", type=OUT, help="Also write the call that checks this bundle, in hex.")
@force_option
@setup_options
@with_output
def evm_verifier(
    output: Output, bundle: Path, out: Path, calldata: Path | None, setup: Setup
) -> None:
    """Write a contract that checks the circuit part of proofs like BUNDLE, and of no other kind.

    It does not check that the proof is about any committed model: docs/evm.md.
    """
    from huref_zk.circuit.keys import verifying_keys
    from huref_zk.evm import contract
    from huref_zk.files.writing import write_together
    from huref_zk.proofs.picture.file import committed_in, read_bundle
    from huref_zk.proofs.picture.verify import shape_of
    from huref_zk.srs.trust import trusted_srs

    parsed = read_bundle(bundle)
    commitment = committed_in(parsed)
    shape = shape_of(commitment)
    named = commitment.descriptor.srs
    trust = trusted_srs(named, setup.keys, setup.allow_test, setup.trusted_srs)
    with output.stages("contract") as stage:
        stage("verifying key")
        keys = verifying_keys(shape, trust.srs.sha256, setup.keys)
        words = contract.key_words(keys, trust.srs)
        stage("source")
        files = {out: contract.source(keys, trust.srs).encode()}
    digest = "0x" + contract.key_digest(words).hex()
    lines = [f"contract: {out}", f"deploy HurefCircuit with the key {digest}"]
    if calldata:
        files[calldata] = contract.calldata(parsed, words).hex().encode() + b"\n"
        lines.append(f"call of check: {calldata}")
    write_together(files)
    columns, v = ("0x" + value.hex() for value in contract.digests(parsed))
    lines.append(f"its event, if it accepts this proof: Proven({columns}, {v})")
    data = {
        "contract": str(out),
        "key": digest,
        "calldata": str(calldata) if calldata else None,
        "columns": columns,
        "v": v,
        "circuit": shape.digest,
        "srs": {"kind": trust.kind, "name": trust.name, "sha256": trust.srs.sha256},
        "test_setup": trust.kind == "test",
    }
    output.result(data, [*lines, "it checks one part of a proof only: see docs/evm.md"])
