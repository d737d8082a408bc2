"""The library: what the commands do, as functions that print nothing.

    from huref_zk import Setup, commit, prove, verify

    commitment = commit("path/to/model", "mine")
    prove("mine", "fp.hzp", "fp.png", derive=True)
    setup = Setup(allow_test=True)
    report = verify("fp.hzp", commitment.root_hex, image="fp.png", setup=setup)
    print(report.facts["recipe"], [step.detail for step in report.steps])

Files and folders are str or Path. ``progress`` hears (what is being done, done, total), total 0
where it is not known. All errors are HurefErrors: InputError for bad input, EnvironmentLacks where
the machine lacks something, StepFailed for what was judged and refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huref_zk.errors import InputError
from huref_zk.paths import default_cache

if TYPE_CHECKING:
    import numpy as np

    from huref_zk.commitment.file import Commitment
    from huref_zk.comparison.comparison import Comparison
    from huref_zk.proofs.kernel import Policy, Report, Setup, Step
    from huref_zk.proofs.prepare import Prepared

PathLike = str | Path
Progress = Callable[[str, int, int], None]
_READING = ("revision", "allow_pickle", "map_file")


@dataclass(frozen=True)
class Fingerprint:
    """v: 512 integers, as a proof publishes them; pixels: uint8 (H, W, 3); seed: 32 bytes;
    generator: the digest, hex, of what drew it; recipe, layers: what of the model it is about;
    warnings: what its user should know."""

    v: tuple[int, ...]
    pixels: np.ndarray
    seed: bytes
    generator: str
    recipe: str
    layers: tuple[int, ...]
    warnings: tuple[str, ...]

    def save(self, path: PathLike) -> None:
        """Write the picture as a PNG. InputError when it cannot be written."""
        from huref_zk.render.image import write_png

        write_png(Path(path), self.pixels)


@dataclass(frozen=True)
class Proven:
    """root: the commitment's, 64 hex digits; v: 512 integers; pixels: uint8 (H, W, 3); test_setup:
    whether it is under the SRS whose secret is public, and so convinces nobody; image: the
    picture's digest, hex; facts: what was committed to (proofs.kernel.facts_of)."""

    root: str
    v: tuple[int, ...]
    pixels: np.ndarray
    test_setup: bool
    image: str
    facts: dict[str, Any]


def prepare(model: PathLike, *, progress: Progress | None = None, **options: Any) -> Prepared:
    """Open a model, compute its cores and make them integers.

    model: an embedded name (demo-base, demo-child, demo-stranger), a Hugging Face folder, a .gguf
    file, or a hub id with ``revision``. options: recipe, layers, tokens (a file of ids), count,
    token_choice, revision, allow_pickle, map_file; see
    proofs.prepare.prepare.
    """
    from huref_zk.proofs.prepare import prepare as prepare_model

    return prepare_model(
        str(model), progress=_part(progress, "reading the model"), **_plain(options)
    )


def fingerprint(
    model: PathLike,
    *,
    seed: bytes | None = None,
    generator: PathLike | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Fingerprint:
    """A model's picture, without a proof.

    seed: 32 bytes, default the public one; generator: a StyleGAN2 file, default the embedded one;
    options: as of ``prepare``.
    """
    from huref_zk.invariants.sketch import PUBLIC_SEED
    from huref_zk.proofs.prepare import fingerprint_vector
    from huref_zk.render import load_generator, render

    drawing = load_generator(generator)
    under = _seed(seed, PUBLIC_SEED)
    prepared = prepare(model, progress=progress, **options)
    v = fingerprint_vector(prepared.quantised, prepared.shape, under)
    pixels = render(v, drawing, progress=_part(progress, "rendering"))
    return Fingerprint(
        tuple(v),
        pixels,
        under,
        drawing.digest,
        prepared.cores.recipe,
        tuple(prepared.cores.layer_ids),
        prepared.warnings,
    )


def commit(
    model: PathLike,
    out: PathLike,
    *,
    audit_layers: Iterable[int] = (),
    audit_output: bool = False,
    public: bool = False,
    force: bool = False,
    keys: PathLike | None = None,
    trusted_srs: Iterable[str] = (),
    progress: Progress | None = None,
    warned: Callable[[str], None] | None = None,
    **options: Any,
) -> Commitment:
    """Commit to a model: writes the owner's folder ``out``, or finishes an interrupted one.

    audit_layers, audit_output: further matrices that audits need; public: no secret, so that
    everybody finds the same root; force: replace a finished commitment there, under the secret that
    is there. keys: folder with the SRS, default the program's own; options: as of ``prepare``.
    InputError when ``out`` holds a finished or another commitment.
    """
    from huref_zk.proofs.folder import Request, commit_to_folder

    chosen = _plain(options)
    reading = {name: chosen.pop(name) for name in _READING if name in chosen}
    request = Request(
        str(model), reading, chosen, tuple(sorted(audit_layers)), audit_output, public
    )
    return commit_to_folder(
        request,
        Path(out),
        _cache(keys),
        tuple(trusted_srs),
        force=force,
        stage=progress,
        warned=warned,
    )


def prove(
    owner: PathLike,
    out: PathLike,
    image: PathLike,
    *,
    seed: bytes | None = None,
    generator: PathLike | None = None,
    derive: bool = False,
    keys: PathLike | None = None,
    stage: Callable[[str], None] | None = None,
) -> Proven:
    """Prove the picture of what the folder ``owner`` committed to, and verify it.

    Writes ``out`` (.hzp) and ``image`` (PNG), both or neither. seed: 32 bytes, default the public
    one; derive: make missing keys, which takes a while; keys: folder of keys and SRS files. stage:
    hears the name of each step. EnvironmentLacks without keys.
    """
    from huref_zk.circuit import keys as circuit_keys
    from huref_zk.commitment.commit import read_owner
    from huref_zk.files.writing import write_together
    from huref_zk.invariants.sketch import PUBLIC_SEED
    from huref_zk.proofs.kernel import facts_of
    from huref_zk.proofs.picture.file import serialise_bundle
    from huref_zk.proofs.picture.prove import prove as make_proof
    from huref_zk.proofs.picture.verify import shape_of
    from huref_zk.render import load_generator
    from huref_zk.render.image import png_bytes
    from huref_zk.srs.trust import own_srs

    held, cache, drawing = read_owner(Path(owner)), _cache(keys), load_generator(generator)
    srs = own_srs(held.descriptor.srs, cache)
    if derive:
        circuit_keys.derive(shape_of(held.commitment), srs, cache, stage)
    bundle, pixels = make_proof(held, _seed(seed, PUBLIC_SEED), srs, cache, drawing, stage)
    write_together({Path(image): png_bytes(pixels), Path(out): serialise_bundle(bundle)})
    return Proven(
        held.commitment.root_hex,
        tuple(bundle.v),
        pixels,
        srs.kind == "test",
        bundle.claim.image,
        facts_of(held.descriptor),
    )


def verify(
    file: PathLike,
    expected: PathLike | Iterable[PathLike],
    *,
    policy: Policy | None = None,
    setup: Setup | None = None,
    heard: Callable[[Step], None] | None = None,
    **demands: Any,
) -> Report:
    """Verify a file of any kind, told by its first bytes. Returns the report of all steps.

    expected: the commitment that the caller trusts, a .hzc file or its root as 64 hex digits; for a
    proof of similarity two of them. policy: what is demanded of seed, recipe, layers and tokens,
    default the standard picture. setup: keys and trusted SRS, default the program's own key folder
    and no SRS but a ceremony's. heard: told of each step that holds. demands: for a picture
    ``image`` (the published PNG) and ``generator``; for a proof of similarity ``bounds``, for an
    opening ``choice`` and ``recompute``, for an audit ``demand``: see verify_file of
    proofs.similarity.verify, proofs.opening.verify and proofs.inference.verify.

    StepFailed for a claim that is false or malformed, InputError for arguments that cannot be read,
    EnvironmentLacks where this machine cannot judge.
    """
    from huref_zk.files import formats
    from huref_zk.files.container import read_start
    from huref_zk.proofs.kernel import Policy, Setup

    path, asked = Path(file), setup or Setup()
    kind = formats.format_of(read_start(path, 8))
    for name in ("image", "generator"):
        if demands.get(name) is not None:
            demands[name] = Path(demands[name])
    if kind is formats.BUNDLE:
        from huref_zk.proofs.picture.verify import verify_file

        return verify_file(path, _one(expected), asked, policy, heard=heard, **demands)
    if kind is formats.SIMILARITY:
        from huref_zk.proofs.similarity import verify as similarity

        pair, demands["policy"] = _two(expected), policy or Policy()
        return similarity.verify_file(path, pair, asked, heard=heard, **demands)
    if kind is formats.OPENING:
        from huref_zk.proofs.opening import verify as opening

        demands["policy"] = policy or Policy()
        return opening.verify_file(path, _one(expected), asked, heard=heard, **demands)
    if kind is formats.AUDIT:
        from huref_zk.proofs.inference import verify as inference

        demands["policy"] = policy or Policy()
        return inference.verify_file(path, _one(expected), asked, heard=heard, **demands)
    raise InputError(f"{path}: a {kind.name} is nothing that can be verified")


def compare(
    a: PathLike,
    b: PathLike,
    *,
    options_a: dict[str, Any] | None = None,
    options_b: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Compare two models, or saved fingerprints (.hzf).

    options_a, options_b: revision, allow_pickle and map_file of either.
    """
    from huref_zk.comparison.compare import compare as compare_sides
    from huref_zk.comparison.compare import open_side

    sides = [
        open_side(str(ref), **(options or {})) for ref, options in ((a, options_a), (b, options_b))
    ]
    return compare_sides(sides[0], sides[1], progress)


def _one(expected: PathLike | Iterable[PathLike]) -> PathLike:
    if isinstance(expected, (str, Path)):
        return expected
    found = list(expected)
    if len(found) != 1:
        raise InputError(f"this kind of file needs one commitment, not {len(found)}")
    return found[0]


def _two(expected: PathLike | Iterable[PathLike]) -> tuple[PathLike, PathLike]:
    found = [] if isinstance(expected, (str, Path)) else list(expected)
    if len(found) != 2:
        raise InputError("a proof of similarity needs two commitments, in its order")
    return found[0], found[1]


def _seed(seed: bytes | None, public: bytes) -> bytes:
    if seed is None:
        return public
    if len(seed) != 32:
        raise InputError(f"a seed has 32 bytes, not {len(seed)}")
    return bytes(seed)


def _cache(keys: PathLike | None) -> Path:
    return default_cache() if keys is None else Path(keys)


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    """The options of prepare with files as Paths and layers as a tuple."""
    found = dict(options)
    for name in ("tokens", "map_file"):
        if found.get(name) is not None:
            found[name] = Path(found[name])
    if found.get("layers") is not None:
        found["layers"] = tuple(sorted(found["layers"]))
    return found


def _part(progress: Progress | None, what: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(what, done, total)
