"""`huref-zk evm-verifier`: a contract that checks the circuit part of a proof."""

from __future__ import annotations

from pathlib import Path

import click

from huref_zk.cli.common import Output, check_targets, with_output
from huref_zk.cli.opening import test_setup_option
from huref_zk.cli.owner import keys_option, trust_option


@click.command("evm-verifier")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="The contract (Solidity)."
)
@click.option(
    "--calldata",
    type=click.Path(path_type=Path),
    help="Also write the call that checks this bundle's proof, in hex.",
)
@test_setup_option
@keys_option
@trust_option
@with_output
def evm_verifier(
    output: Output,
    bundle: Path,
    out: Path,
    calldata: Path | None,
    allow_test_setup: bool,
    cache: Path,
    trusted: tuple[str, ...],
) -> None:
    """Write a contract that checks the circuit part of proofs like BUNDLE, and of no other kind.

    It does not check that the proof is about any committed model: docs/evm.md.
    """
    from huref_zk.circuit.keys import verifying_keys
    from huref_zk.commitment.file import parse_commitment
    from huref_zk.evm import contract
    from huref_zk.files.container import write_atomically
    from huref_zk.proofs.picture.file import read_bundle
    from huref_zk.proofs.picture.verify import shape_of
    from huref_zk.proofs.setup import trusted_srs

    check_targets(*(path for path in (out, calldata) if path))
    parsed = read_bundle(bundle)
    commitment = parse_commitment(parsed.commitment)
    shape = shape_of(commitment)
    srs = trusted_srs(commitment.descriptor, cache, allow_test_setup, trusted)
    with output.stages("contract") as stage:
        stage("verifying key")
        keys = verifying_keys(shape, srs.sha256, cache)
        words = contract.key_words(keys, srs)
        stage("source")
        source = contract.source(keys, srs)
    digest = "0x" + contract.key_digest(words).hex()
    write_atomically(out, source.encode())
    lines = [f"contract: {out}", f"deploy HurefCircuit with the key {digest}"]
    if calldata:
        write_atomically(calldata, contract.calldata(parsed, words).hex().encode() + b"\n")
        lines.append(f"call of check: {calldata}")
    rows, v = ("0x" + value.hex() for value in contract.digests(parsed))
    lines.append(f"its event, if it accepts this proof: Proven({rows}, {v})")
    data = {
        "contract": str(out),
        "key": digest,
        "calldata": str(calldata) if calldata else None,
        "rows": rows,
        "v": v,
        "circuit": shape.digest,
        "srs": {"kind": srs.kind, "sha256": srs.sha256},
    }
    output.result(data, [*lines, "it checks one part of a proof only: see docs/evm.md"])
