"""Halo2 proofs of a circuit's output over committed rows: made and checked through ezkl.

A proof is, byte after byte,

    LEFT + RIGHT + 1 points     commitments to the left rows, the right rows and the maps' entries,
                                32 bytes each, compressed
    the rest                    ezkl's Halo2 proof, which begins with the commitments to its own
                                input columns, 64 bytes each

The commitments are ezkl's: on top of <row> each carries the same constant (``blank_point``). How
the columns follow from the rows is in product.py; here the verifier makes their commitments itself
and looks for them at the head of the Halo2 proof.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from huref_zk.argument.transcript import Transcript
from huref_zk.circuit.keys import Keys
from huref_zk.circuit.product import (
    Weights,
    combined_points,
    combined_row,
    draw_weights,
    exact_maps,
)
from huref_zk.circuit.shape import TERMS
from huref_zk.commitment.kzg import blank
from huref_zk.commitment.salts import SALTS
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import Point, R
from huref_zk.errors import HurefError, InputError
from huref_zk.invariants.encoder import CONDITIONS, V_LENGTH
from huref_zk.invariants.sketch import LEFT, RIGHT
from huref_zk.native import ezkl
from huref_zk.native.scratch import private_folder
from huref_zk.native.workers import run_all, usable_cores
from huref_zk.srs.file import Srs

POINT_BYTES = 32  # of a row's commitment
HEAD_POINTS = LEFT + RIGHT + 1
VERIFY_SECONDS = 300.0
VERIFY_MEMORY = 8 << 30  # of address space
_ROOM = 128 << 20  # what a prover's files take at most

Rows = Sequence[Sequence[int]]


def prove(
    rows: Rows, outputs: Sequence[int], keys: Keys, srs: Srs, say: Callable[[str], None]
) -> bytes:
    """The proof that the circuit of ``keys`` computes ``outputs`` from ``rows``.

    rows: LEFT left rows of 3 e entries, then RIGHT right rows of e, integers or field elements.
    outputs: v, then the number of conditions that hold. ``say`` hears the name of each step.
    InputError when a map's norm is out of the circuit's range, HurefError when the circuit
    computes another v, EnvironmentLacks and EzklFailed.
    """
    left, right = rows[:LEFT], rows[LEFT:]
    say("maps and row commitments")
    maps = [entry for m in exact_maps(left, right) for line in m for entry in line]
    maps += [secrets.randbelow(R) for _ in range(SALTS)]
    points = commit_columns([*rows, maps], keys, srs)
    weights = _weights(points, keys)
    columns = [
        combined_row(left, weights.left),
        combined_row(right, weights.right),
        maps,
        weights.column,
    ]
    halo2 = prove_columns(columns, [*outputs, *[0] * TERMS], keys, srs, say)
    return b"".join(map(bn254.compress, points)) + halo2


def check(proof: bytes, outputs: Sequence[int], keys: Keys, srs: Srs) -> str | None:
    """What is wrong with a proof that rows of these commitments give ``outputs``; None: nothing.

    Whether the rows are the right ones is for the caller to see: ``committed_points``. InputError
    when ``proof`` does not begin with points of the curve; EnvironmentLacks when ezkl is stopped
    by a limit, a time-out, a signal.
    """
    points = committed_points(proof, HEAD_POINTS)
    constant = blank_point(keys, srs)
    plain = without_blank(points, constant)
    left, right, weights = combined_points(
        plain[:LEFT], plain[LEFT : LEFT + RIGHT], _weights(points, keys), srs
    )
    columns = [
        bn254.add(left, constant),
        bn254.add(right, constant),
        points[-1],
        bn254.add(weights, constant),
    ]
    halo2 = proof[POINT_BYTES * HEAD_POINTS :]
    return check_columns(halo2, columns, [*outputs, *[0] * TERMS], keys, srs)


def committed_points(proof: bytes, count: int) -> list[Point]:
    """The first ``count`` commitments at the head of a proof. InputError if they are none."""
    if len(proof) < POINT_BYTES * count:
        raise InputError("the proof is too short to hold its row commitments")
    return [
        bn254.decompress(proof[i : i + POINT_BYTES])
        for i in range(0, POINT_BYTES * count, POINT_BYTES)
    ]


def blank_point(keys: Keys, srs: Srs) -> Point:
    """What ezkl's commitments carry on top of <row>: ones in the rows that Halo2 reserves."""
    return blank(srs, keys.record.unusable)


def without_blank(points: Sequence[Point], constant: Point) -> list[Point]:
    """Commitments <row>: without the constant of ``blank_point``."""
    base = bn254.negate(constant)
    return [bn254.add(point, base) for point in points]


def _weights(points: Sequence[Point], keys: Keys) -> Weights:
    """points: of the rows and of the maps, as the proof begins."""
    transcript = Transcript(b"maps of rows " + keys.record.vk.encode())
    transcript.absorb_points("rows", points[:-1])
    transcript.absorb_points("maps", points[-1:])
    return draw_weights(transcript)


# --- any circuit whose inputs are committed columns ----------------------------------------------


def commit_columns(columns: Rows, keys: Keys, srs: Srs) -> list[Point]:
    """ezkl's commitments to columns, shared among child processes."""
    usable = (1 << srs.k) - keys.record.unusable
    count = min(usable_cores(), len(columns))
    shares = [list(columns[i::count]) for i in range(count)]
    jobs = [(keys.vk, keys.settings, srs.path, usable, share) for share in shares]
    found: list[Point] = [None] * len(columns)
    for i, points in enumerate(run_all(_commit_share, jobs)):
        found[i::count] = [bn254.decode_uncompressed(point) for point in points]
    return found


def _commit_share(vk: str, settings: str, srs: str, usable: int, columns: Rows) -> list[bytes]:
    """Within a child: uncompressed points."""
    import ezkl as native

    felts: list[str] = []
    for column in columns:
        felts += [(x % R).to_bytes(32, "little").hex() for x in column]
        felts += ["00" * 32] * (usable - len(column))
    points = native.kzg_commit(felts, str(vk), str(settings), str(srs))
    return [bn254.encode_uncompressed(bn254.from_ezkl(p)) for p in points[: len(columns)]]


def prove_columns(
    columns: Rows, outputs: Sequence[int], keys: Keys, srs: Srs, say: Callable[[str], None]
) -> bytes:
    """ezkl's proof that the circuit of ``keys`` maps these input columns to ``outputs``.

    Raises as ``prove`` does. What it writes lies in a private folder, in memory where there is
    room, and goes with the process.
    """
    with private_folder(room=_ROOM) as folder:
        inputs, witness, proof = (folder / f"{name}.json" for name in ("input", "witness", "proof"))
        data = [[(x % R).to_bytes(32, "little").hex() for x in column] for column in columns]
        inputs.write_text(json.dumps({"input_data": data}))
        say("witness")
        ezkl.run(
            "gen_witness",
            data=inputs,
            model=keys.circuit,
            output=witness,
            vk_path=keys.vk,
            srs_path=srs.path,
        )
        (found,) = json.loads(witness.read_text())["outputs"]
        _compare([int.from_bytes(bytes.fromhex(x), "little") for x in found], outputs)
        say("circuit proof")
        ezkl.run(
            "prove",
            witness=witness,
            model=keys.circuit,
            pk_path=keys.pk,
            proof_path=proof,
            srs_path=srs.path,
        )
        return bytes(json.loads(proof.read_text())["proof"])


def _compare(found: Sequence[int], outputs: Sequence[int]) -> None:
    if list(found) == [x % R for x in outputs]:
        return
    if len(found) > V_LENGTH and found[V_LENGTH] < CONDITIONS == outputs[V_LENGTH]:
        raise InputError(
            f"only {found[V_LENGTH]} of the circuit's {CONDITIONS} conditions hold: a map's norm "
            "is out of its range"
        )
    raise HurefError("the circuit computes another output than this program; please report this")


def check_columns(
    proof: bytes, columns: Sequence[Point], outputs: Sequence[int], keys: Keys, srs: Srs
) -> str | None:
    """What is wrong with ezkl's proof that columns of these commitments (ezkl's, its constant
    included) give ``outputs``; None: nothing.

    ezkl reads what it needs and ignores what follows, so only a proof that fails without its last
    byte is exact; both are run, at once. Raises EnvironmentLacks.
    """
    head = b"".join(map(bn254.encode_uncompressed, columns))
    if proof[: len(head)] != head:
        return "it is not about the columns that follow from the row commitments"
    with ThreadPoolExecutor(2) as pool:
        whole, cut = (pool.submit(_fault, part, outputs, keys, srs) for part in (proof, proof[:-1]))
        fault = whole.result()
        if fault is not None:
            return f"it does not verify ({fault})"
        if cut.result() is None:
            return "bytes follow its end"
    return None


def _fault(proof: bytes, outputs: Sequence[int], keys: Keys, srs: Srs) -> str | None:
    """What ezkl has against ``proof``, given to it in a file that we write ourselves."""
    content = {
        "protocol": None,
        "instances": [[(x % R).to_bytes(32, "little").hex() for x in outputs]],
        "proof": list(proof),
        "hex_proof": None,
        "split": None,
        "pretty_public_inputs": None,
        "timestamp": None,
        "version": None,
    }
    with private_folder() as folder:
        path = folder / "proof.json"
        path.write_text(json.dumps(content))
        try:
            ok = ezkl.run(
                "verify",
                timeout=VERIFY_SECONDS,
                memory=VERIFY_MEMORY,
                proof_path=path,
                settings_path=keys.settings,
                vk_path=keys.vk,
                srs_path=srs.path,
            )
        except ezkl.EzklFailed as error:
            return str(error)
    return None if ok is True else "it says so"
