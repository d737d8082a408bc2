"""Adds this release's golden bundle: ``python -m soundness.make_golden``.

tests/golden/VERSION/ holds a proof of the embedded base model that this version made: proof.hzp,
commitment.hzc, picture.png, and expected.json, which says what they claim. Every later version has
to go on verifying it. A version that is there already is left alone; delete nothing here.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from huref_zk import __version__
from huref_zk.circuit import keys
from huref_zk.commitment.file import write_commitment
from huref_zk.errors import InputError
from huref_zk.invariants.prepare import commit_model, prepare
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.paths import default_cache
from huref_zk.proofs.picture.file import write_bundle
from huref_zk.proofs.picture.prove import prove
from huref_zk.render import load_generator
from huref_zk.render.image import write_png
from huref_zk.srs.trust import find_srs
from soundness.small import ROOT

GOLDEN = ROOT / "tests" / "golden"
FILES = ("proof.hzp", "commitment.hzc", "picture.png")
MODEL = "demo-base"
MAX_BYTES = 600_000


def make(folder: Path, cache: Path) -> None:
    """Prove MODEL into ``folder``, which must not exist. InputError if it does, or for the size."""
    if folder.exists():
        raise InputError(f"{folder} is there; a release's golden bundle is never made again")
    folder.parent.mkdir(parents=True, exist_ok=True)
    prepared = prepare(MODEL)
    srs = find_srs(prepared.shape.k, cache, make_test=True)
    keys.derive(prepared.shape, srs, cache)
    secret = os.urandom(32)
    commitment = commit_model(prepared, secret, srs)
    bundle, pixels = prove(
        prepared, commitment, secret, PUBLIC_SEED, srs, cache, load_generator(None)
    )
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as name:
        build = Path(name)
        write_bundle(build / "proof.hzp", bundle)
        write_commitment(build / "commitment.hzc", commitment)
        write_png(build / "picture.png", pixels)
        expected = {
            "version": __version__,
            "root": commitment.root_hex,
            "v": hashlib.sha256(json.dumps(bundle.v).encode()).hexdigest(),
            "header": bundle.header,
            "sha256": {f: hashlib.sha256((build / f).read_bytes()).hexdigest() for f in FILES},
        }
        text = json.dumps(expected, indent=1, sort_keys=True) + "\n"
        (build / "expected.json").write_text(text)
        size = sum(file.stat().st_size for file in build.iterdir())
        if size > MAX_BYTES:
            raise InputError(f"the golden bundle would take {size} bytes, more than {MAX_BYTES}")
        build.chmod(0o755)
        for file in build.iterdir():
            file.chmod(0o644)
        shutil.copytree(build, folder)


def main() -> int:
    try:
        make(GOLDEN / __version__, default_cache())
    except InputError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(GOLDEN / __version__)
    return 0


if __name__ == "__main__":
    sys.exit(main())
