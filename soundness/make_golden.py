"""Adds the golden bundle of this version of the formats: ``python -m soundness.make_golden``.

tests/golden/VERSION/ holds a proof of the embedded base model under the test setup: proof.hzp,
commitment.hzc, picture.png, and expected.json, which says what they claim. Every later program that
reads this version has to go on verifying it. A version that is there already is left alone.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from huref_zk.circuit import keys
from huref_zk.commitment.commit import read_owner
from huref_zk.errors import InputError
from huref_zk.files.container import VERSION
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.paths import default_cache
from huref_zk.proofs.folder import Request, commit_to_folder
from huref_zk.proofs.picture.file import write_bundle
from huref_zk.proofs.picture.prove import prove
from huref_zk.proofs.picture.verify import shape_of
from huref_zk.render import load_generator
from huref_zk.render.image import write_png
from huref_zk.srs.trust import own_srs
from soundness import ROOT

GOLDEN = ROOT / "tests" / "golden"
FILES = ("proof.hzp", "commitment.hzc", "picture.png")
MODEL = "demo-base"
MAX_BYTES = 600_000


def make(folder: Path, cache: Path) -> None:
    """Prove MODEL into ``folder``, which must not exist. InputError if it does, or for the size."""
    if folder.exists():
        raise InputError(f"{folder} is there; a version's golden bundle is never made again")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as name:
        mine, build = Path(name) / "mine", Path(name) / "build"
        commitment = commit_to_folder(Request(MODEL), mine, cache)
        owner = read_owner(mine)
        srs = own_srs(owner.descriptor.srs, cache)
        keys.derive(shape_of(commitment), srs, cache)
        bundle, pixels = prove(owner, PUBLIC_SEED, srs, cache, load_generator(None))
        build.mkdir(mode=0o755)
        shutil.copy(mine / "commitment.hzc", build / "commitment.hzc")
        write_bundle(build / "proof.hzp", bundle)
        write_png(build / "picture.png", pixels)
        expected = {
            "version": VERSION,
            "v": hashlib.sha256(json.dumps(bundle.v).encode()).hexdigest(),
            "claim": asdict(bundle.claim),
            "descriptor": commitment.descriptor.to_json(),
            "sha256": {f: hashlib.sha256((build / f).read_bytes()).hexdigest() for f in FILES},
        }
        text = json.dumps(expected, indent=1, sort_keys=True) + "\n"
        (build / "expected.json").write_text(text)
        size = sum(file.stat().st_size for file in build.iterdir())
        if size > MAX_BYTES:
            raise InputError(f"the golden bundle would take {size} bytes, more than {MAX_BYTES}")
        for file in build.iterdir():
            file.chmod(0o644)
        shutil.copytree(build, folder)


def main() -> int:
    try:
        make(GOLDEN / str(VERSION), default_cache())
    except InputError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(GOLDEN / str(VERSION))
    return 0


if __name__ == "__main__":
    sys.exit(main())
