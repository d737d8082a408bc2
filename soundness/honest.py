"""Many honest proofs of a small shape: ``python -m soundness.honest --count 200``.

Proof i is of random model i under a secret of its own, every second one under a fresh sketch seed;
one set of keys serves all. Each is made, written, and verified from its file. A line of
FOLDER/honest.jsonl says how it went; what stands there is not done again, so the run may be
interrupted. Exit code 1 when a proof was refused or a call into ezkl died.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

from huref_zk.circuit import keys
from huref_zk.errors import HurefError
from huref_zk.files.container import write_atomically
from huref_zk.invariants.prepare import commit_model, prepare
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.proofs.picture.file import write_bundle
from huref_zk.proofs.picture.prove import prove
from huref_zk.proofs.picture.verify import Policy, verify_file
from huref_zk.render import Generator, load_generator
from huref_zk.render.image import write_png
from huref_zk.srs.trust import find_srs
from soundness.small import ROOT, TOKENS, write_generator, write_model

FOLDER = ROOT / "scratch" / "soundness"
LOG = "honest.jsonl"


def seeds(index: int) -> tuple[bytes, bytes]:
    """(owner's secret, sketch seed) of proof ``index``, 32 bytes each."""
    secret = hashlib.sha256(b"honest secret %d" % index).digest()
    fresh = hashlib.sha256(b"honest seed %d" % index).digest()
    return secret, fresh if index % 2 else PUBLIC_SEED


def one_proof(index: int, cache: Path, generator_file: Path, generator: Generator) -> dict:
    """Make and verify proof ``index``; what to log of it. Raises HurefError if it fails."""
    started = time.perf_counter()
    secret, seed = seeds(index)
    with tempfile.TemporaryDirectory(prefix="huref-zk-") as name:
        folder = Path(name)
        write_model(folder / "model", 1000 + index)
        prepared = prepare(str(folder / "model"), count=TOKENS)
        srs = find_srs(prepared.shape.k, cache, make_test=True)
        keys.derive(prepared.shape, srs, cache)
        commitment = commit_model(prepared, secret, srs)
        bundle, pixels = prove(prepared, commitment, secret, seed, srs, cache, generator)
        write_bundle(folder / "proof.hzp", bundle)
        write_png(folder / "picture.png", pixels)
        proven = time.perf_counter()
        policy = Policy(seed, allow_test_setup=True)
        report = verify_file(
            folder / "proof.hzp",
            commitment.root_hex,
            folder / "picture.png",
            policy,
            cache,
            generator_file,
        )
    return {
        "index": index,
        "steps": len(report.steps),
        "root": commitment.root_hex,
        "proof": hashlib.sha256(bundle.proof).hexdigest(),
        "prove_s": round(proven - started, 2),
        "verify_s": round(time.perf_counter() - proven, 2),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20, 3),
    }


def logged(folder: Path) -> list[dict]:
    """The lines of a folder's log; a last line cut short by an interruption is dropped."""
    path = folder / LOG
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def run(
    count: int, folder: Path, at_most: int | None = None, cache: Path | None = None
) -> list[dict]:
    """Make the proofs 0..count-1 that are not logged yet, at most so many; the whole log.

    cache: where keys are kept; by default in the folder, and only until all is done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator_file = folder / "generator.safetensors"
    if not generator_file.exists():
        write_generator(generator_file, 1)
    generator = load_generator(generator_file)
    if (folder / LOG).exists():  # what follows must not be appended to half a line
        text = (folder / LOG).read_text()
        write_atomically(folder / LOG, text[: text.rfind("\n") + 1].encode())
    done = {line["index"] for line in logged(folder)}
    missing = [index for index in range(count) if index not in done][:at_most]
    for index in missing:
        try:
            line = one_proof(index, cache or folder / "cache", generator_file, generator)
        except HurefError as error:
            line = {"index": index, "error": f"{type(error).__name__}: {error}"}
        with open(folder / LOG, "a") as log:
            log.write(json.dumps(line, sort_keys=True) + "\n")
        print(json.dumps(line, sort_keys=True), flush=True)
    log_lines = logged(folder)
    if {line["index"] for line in log_lines} >= set(range(count)):
        shutil.rmtree(folder / "cache", ignore_errors=True)  # a proving key of 300 MB
    return [line for line in log_lines if line["index"] < count]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--at-most", type=int, help="stop after so many, to go on later")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    lines = run(options.count, options.folder, options.at_most)
    failed = [line for line in lines if "error" in line]
    print(
        f"{len(lines) - len(failed)} of {options.count} proven and verified, {len(failed)} failed"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
