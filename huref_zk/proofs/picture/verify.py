"""The verifier: numbered steps, each with its own error, none trusting anything the bundle brings.

    0 parse         bounded sizes, canonical numbers, points on the curve
    1 commitment    the root recomputed from the row commitments is the one the caller expects
    2 SRS           a ceremony's, known by digest; a test setup only if the caller allows it
    3 circuit       shape rebuilt from the descriptor; verifying key derived here or pinned
    4 projection    the published row commitments are P E U, P E V of the committed matrices
    5 proof         the Halo2 proof of v, over exactly those row commitments
    6 image         v renders to the published picture, pixel for pixel
    7 policy        what the caller asked for is what was proven

Imports neither torch, transformers nor onnx.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from huref_zk.argument.projection_verifier import parse_projection, verify_projection
from huref_zk.argument.transcript import Transcript
from huref_zk.circuit import keys as circuit_keys
from huref_zk.circuit.encoder import P, load_encoder
from huref_zk.circuit.shape import EZKL_VERSION, LAYERS, Shape, shape_for
from huref_zk.commitment.file import Commitment, parse_commitment
from huref_zk.commitment.kzg import blank
from huref_zk.curve import bn254
from huref_zk.errors import EnvironmentLacks, HurefError, InputError, StepFailed
from huref_zk.files.container import read_bounded
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.native import ezkl as runner
from huref_zk.proofs.picture.file import MAX_BYTES, Bundle, parse_bundle, read_bundle
from huref_zk.proofs.picture.statement import pixel_digest, render_digest, statement_digest
from huref_zk.render import Generator, load_generator, render
from huref_zk.render.image import read_png
from huref_zk.srs.file import Srs, SrsId, find_srs, find_test_srs, is_trusted, kind_of

STEPS = ("parse", "commitment", "SRS", "circuit", "projection", "proof", "image", "policy")
ROWS = 2 * P
EZKL_TIMEOUT = 300.0
EZKL_MEMORY = 8 << 30  # address space; a verifying key of the largest shapes takes most of it


@dataclass(frozen=True)
class Policy:
    """What the caller demands, beyond validity. None means any.

    seed: 32 bytes; layers: the two layer numbers; tokens_digest: SHA-256 hex of the token ids.
    allow_test_setup: accept the test SRS, under which anybody can forge proofs. trusted_srs:
    SHA-256, hex, of SRS files that the caller trusts besides the ceremony's.
    """

    seed: bytes = PUBLIC_SEED
    allow_test_setup: bool = False
    layers: tuple[int, ...] | None = None
    tokens_digest: str | None = None
    trusted_srs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """One step that held: its number, name, and what was established."""

    number: int
    name: str
    detail: str


@dataclass
class Report:
    """The steps that held so far, in order, of those in ``names``.

    test_setup: made under the SRS of public secret; heard: told of each step as it holds.
    """

    steps: list[Step] = field(default_factory=list)
    test_setup: bool = False
    heard: Callable[[Step], None] | None = None
    names: tuple[str, ...] = STEPS

    def add(self, detail: str) -> None:
        number = len(self.steps)
        step = Step(number, self.names[number], detail)
        self.steps.append(step)
        if self.heard is not None:
            self.heard(step)


def shape_of(commitment: Commitment) -> Shape:
    """The circuit shape that a commitment's descriptor implies. InputError if there is none."""
    d = commitment.descriptor
    # The circuit always reads the columns of two layers, whatever the descriptor calls them.
    if len(d["layers"]) != LAYERS:
        raise InputError(f"the commitment is to {len(d['layers'])} layers, not {LAYERS}")
    a, b, f = d["widths"]
    shape = shape_for((a, b, f), d["tokens"]["count"], d["model"]["hidden_size"])
    if shape.k != d["domain_k"]:
        raise InputError(f"the commitment's domain is 2^{d['domain_k']}, its circuit's 2^{shape.k}")
    return shape


def shape_of_file(path: Path) -> Shape:
    """The circuit shape of a .hzc or .hzp file."""
    data = read_bounded(path, MAX_BYTES)
    if path.suffix == ".hzp":
        data = parse_bundle(data).commitment
    return shape_of(parse_commitment(data))


def verify_file(
    bundle: Path,
    expected: str | Path,
    image: Path,
    policy: Policy,
    cache: Path,
    generator: Path | None = None,
    heard: Callable[[Step], None] | None = None,
) -> Report:
    """Verify the bundle file against ``expected``: a commitment file, or a root as 64 hex digits.

    Returns the report of all steps. Raises StepFailed (a claim that is false or malformed),
    InputError (unreadable arguments), EnvironmentLacks (a key or SRS is missing here).
    """
    root = expected_root(expected)
    picture = read_png(image)
    report = Report(heard=heard)
    if not bundle.is_file():  # a wrong argument, not a false claim
        raise InputError(f"{bundle} is not a file")
    try:
        parsed = read_bundle(bundle)
    except InputError as e:
        raise StepFailed(0, f"{bundle}: {e}") from e
    return verify(parsed, root, picture, policy, cache, load_generator(generator), report)


def expected_root(expected: str | Path) -> str:
    """The root that the caller trusts: given as 64 hex digits, or recomputed from a .hzc file."""
    text = str(expected)
    if len(text) == 64 and all(c in "0123456789abcdef" for c in text.lower()):
        return text.lower()
    if not Path(text).is_file():
        raise InputError(f"{text} is neither a commitment file nor a root of 64 hex digits")
    return parse_commitment(read_bounded(Path(text), MAX_BYTES)).root_hex


def verify(
    bundle: Bundle,
    root: str,
    picture: np.ndarray,
    policy: Policy,
    cache: Path,
    generator: Generator,
    report: Report | None = None,
) -> Report:
    """Run all steps on a parsed bundle. ``picture``: uint8 (H, W, 3). See verify_file."""
    report = report or Report()
    header = bundle.header

    commitment, columns = _parse_inside(bundle)
    report.add(f"{len(bundle.proof) + len(bundle.commitment)} bytes, well formed")

    require(
        1, commitment.root_hex == root, "the bundle's commitment does not have the expected root"
    )
    require(1, header["root"] == root, "the bundle names another root than its own commitment has")
    report.add(f"root {root}")

    srs = trusted_srs(commitment, header["srs"], policy, cache)
    report.test_setup = srs.id.kind == "test"
    report.add(f"{srs.id.kind} setup {srs.id.sha256[:16]}, 2^{srs.k} rows")

    shape, keys = _circuit(commitment, header, srs, cache)
    report.add(f"{shape.name}, verifying key {keys.record.vk[:16]}")

    rows = without_blank(columns, keys, srs)
    seed = bytes.fromhex(header["seed"])
    transcript = Transcript(statement_digest(header, bundle.v))
    verify_projection(
        commitment, seed, P, parse_projection(bundle.projection, commitment), rows, transcript, srs
    )
    report.add(f"{ROWS} row commitments are projections of the committed matrices")

    _check_proof(bundle, keys, srs)
    report.add("v is the encoding of those rows' invariant maps")

    ours, theirs = generator.digest, header["generator"]
    require(6, ours == theirs, f"made with generator {theirs[:16]}, this one is {ours[:16]}")
    require(6, header["render"] == render_digest(generator), "made with other rendering constants")
    drawn = render(list(bundle.v), generator)
    require(
        6, header["image"] == pixel_digest(drawn), "the bundle names another picture than v gives"
    )
    require(6, picture.shape == drawn.shape, f"the picture is {_size(picture)}, not {_size(drawn)}")
    wrong = int((picture != drawn).any(axis=2).sum())
    require(6, wrong == 0, f"{wrong} pixels of the picture differ from what v renders to")
    report.add(f"{_size(drawn)} pixels equal")

    check_policy(7, commitment, seed, policy)
    report.add("seed, layers and tokens are the ones asked for")
    return report


def require(number: int, holds: bool, message: str) -> None:
    """Refuse the claim at step ``number``, with ``message``, unless ``holds``."""
    if not holds:
        raise StepFailed(number, message)


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[0]}"


def _parse_inside(bundle: Bundle) -> tuple[Commitment, list[bn254.Point]]:
    """The commitment, and the row commitments that open the proof's transcript."""
    try:
        commitment = parse_commitment(bundle.commitment)
        parse_projection(bundle.projection, commitment)
        return commitment, opening_points(bundle.proof, ROWS)
    except InputError as e:
        raise StepFailed(0, str(e)) from e


def opening_points(proof: bytes, count: int) -> list[bn254.Point]:
    """The first ``count`` column commitments of a Halo2 proof. InputError if they are none."""
    if len(proof) < 64 * count:
        raise InputError("the proof is too short to hold its row commitments")
    points = [proof[i : i + 64] for i in range(0, 64 * count, 64)]
    return [bn254.decode_uncompressed(p) for p in points]


def without_blank(
    columns: list[bn254.Point], keys: circuit_keys.Keys, srs: Srs
) -> list[bn254.Point]:
    """Commitments to the columns' own entries: without the constant that ezkl adds to each."""
    base = bn254.negate(blank(srs, keys.record.unusable))
    return [bn254.add(column, base) for column in columns]


def trusted_srs(commitment: Commitment, named: str, policy: Policy, cache: Path) -> Srs:
    """The SRS of ``commitment`` if it is one to trust and the one that the bundle names (step 2).

    named: SHA-256, hex. Raises StepFailed, and EnvironmentLacks when it is not at hand.
    """
    d = commitment.descriptor
    k, sha256 = d["domain_k"], d["srs"]["sha256"]
    require(2, named == sha256, "bundle and commitment name different SRS")
    kind = kind_of(k, sha256)
    if kind == "test":
        require(
            2,
            policy.allow_test_setup,
            "made under the TEST setup, whose secret is public: anybody can forge such a proof "
            "(--allow-test-setup accepts it all the same)",
        )
    else:
        require(
            2,
            is_trusted(SrsId(kind, k, sha256), policy.trusted_srs),
            f"SRS {sha256[:16]} is no ceremony's that we know, nor named with --trust-srs",
        )
    require(2, d["srs"]["kind"] == kind, f"the commitment calls its {kind} SRS {d['srs']['kind']}")
    if kind == "test":
        srs = find_test_srs(k, cache, make=True)
    else:
        srs = find_srs(k, cache, trusted=policy.trusted_srs)
    if srs.id.sha256 != sha256:
        raise EnvironmentLacks(
            f"the bundle needs SRS {sha256[:16]} for k={k}; {cache} holds {srs.id.sha256[:16]}"
        )
    return srs


def _circuit(
    commitment: Commitment, header: dict, srs: Srs, cache: Path
) -> tuple[Shape, circuit_keys.Keys]:
    try:
        shape = shape_of(commitment)
    except InputError as e:
        raise StepFailed(3, str(e)) from e
    ours = load_encoder().digest
    require(
        3, header["ezkl"] == EZKL_VERSION, f"made with ezkl {header['ezkl']}, not {EZKL_VERSION}"
    )
    require(3, header["encoder"] == ours, f"made with another encoder than ours, {ours[:16]}")
    require(
        3, header["circuit"] == shape.digest, "names another circuit than its descriptor implies"
    )
    return shape, circuit_keys.verifying_keys(shape, srs.id.sha256, cache)


def _check_proof(bundle: Bundle, keys: circuit_keys.Keys, srs: Srs) -> None:
    check_halo2(bundle.proof, bundle.v, keys, srs)


def check_halo2(proof: bytes, instance: Sequence[int], keys: circuit_keys.Keys, srs: Srs) -> None:
    """Run ezkl's verifier, isolated, on the proof, and on the proof without its last byte (step 5).

    ezkl reads what it needs and ignores what follows: only a proof that fails when cut is exact.
    Both run at once. instance: the public output, signed integers. Raises StepFailed.
    """
    with ThreadPoolExecutor(2) as pool:
        whole, cut = (
            pool.submit(_fault, part, instance, keys, srs) for part in (proof, proof[:-1])
        )
        fault = whole.result()
        require(5, fault is None, f"the Halo2 proof does not verify ({fault})")
        require(5, cut.result() is not None, "bytes follow the end of the Halo2 proof")


def _fault(
    proof: bytes, instance: Sequence[int], keys: circuit_keys.Keys, srs: Srs
) -> HurefError | str | None:
    """What ezkl has against ``proof``, given to it in a file that we write ourselves."""
    content = {
        "protocol": None,
        "instances": [[(x % bn254.R).to_bytes(32, "little").hex() for x in instance]],
        "proof": list(proof),
        "hex_proof": None,
        "split": None,
        "pretty_public_inputs": None,
        "timestamp": None,
        "version": None,
    }
    with tempfile.TemporaryDirectory(prefix="huref-zk-") as folder:
        path = Path(folder) / "proof.json"
        path.write_text(json.dumps(content))
        try:
            ok = runner.run(
                "verify",
                timeout=EZKL_TIMEOUT,
                memory=EZKL_MEMORY,
                proof_path=path,
                settings_path=keys.settings,
                vk_path=keys.vk,
                srs_path=srs.path,
            )
        except EnvironmentLacks:
            raise
        except HurefError as e:
            return e
    return None if ok is True else "it says so"


def check_policy(number: int, commitment: Commitment, seed: bytes, policy: Policy) -> None:
    """Refuse at step ``number`` what was proven of other things than the caller asked for."""
    d = commitment.descriptor
    asked = policy.seed.hex()
    require(number, seed == policy.seed, f"proven under seed {seed.hex()}, asked for {asked}")
    layers = policy.layers
    require(
        number,
        layers is None or list(layers) == d["layers"],
        f"proven of layers {d['layers']}, asked for {list(layers or ())}",
    )
    digest = policy.tokens_digest
    require(
        number,
        digest is None or digest == d["tokens"]["digest"],
        "proven over other tokens than asked for",
    )
