"""The same inputs give the same verifying key, root, v and picture, with one thread or two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = """
import hashlib, json, os, sys
from pathlib import Path

threads = int(sys.argv[1])
if hasattr(os, "sched_setaffinity"):  # what run_all counts, and numpy and ezkl in the end use
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])

from huref_zk.circuit import keys
from huref_zk.commitment.commit import commit
from huref_zk.proofs.prepare import fingerprint_vector, prepare
from huref_zk.render import load_generator, render
from huref_zk.srs.trust import find_srs
from tests.support.chain import TOKENS, witness_of

model, generator, secret, seed, cache = sys.argv[2:]
prepared = prepare(model, count=TOKENS)
srs = find_srs(prepared.shape.k, cache, make_test=True)
v = fingerprint_vector(prepared.quantised, prepared.shape, bytes.fromhex(seed))
record = keys.derive(prepared.shape, srs, Path(cache)).record
key = bytes.fromhex(secret)
print(json.dumps({
    "srs": srs.sha256,
    "vk": record.vk,
    "settings": record.settings,
    "root": commit(witness_of(model, prepared, key, srs), key, srs).root_hex,
    "v": v,
    "pixels": hashlib.sha256(render(v, load_generator(Path(generator))).tobytes()).hexdigest(),
}))
"""
ROOT = Path(__file__).resolve().parents[2]


def outputs(threads: int, *arguments: str, **environment: str) -> dict:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
    ours = {"PYTHONPATH": str(ROOT), **dict.fromkeys(names, str(threads))}
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(threads), *arguments],
        env={**os.environ, **ours, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_same_inputs_same_outputs(chain, tmp_path):
    model = chain.model
    fixed = (str(model), str(chain.generator_file), chain.owner.secret.hex())
    seed = chain.bundle.claim.seed
    # One thread derives its keys anew; two take this session's, which every core has made. The
    # user's settings for ezkl are none of ours, and nothing of ours goes to the user's home.
    home = tmp_path / "home"
    home.mkdir()
    theirs = {"HOME": str(home), "EZKL_KEY_FORMAT": "processed"}
    first = outputs(1, *fixed, seed, str(tmp_path / "keys"), **theirs)
    assert list(home.iterdir()) == []
    assert first == outputs(2, *fixed, seed, str(chain.cache))
    assert first["vk"] == chain.keys.record.vk
    assert first["settings"] == chain.keys.record.settings
    assert first["root"] == chain.commitment.root_hex
    assert tuple(first["v"]) == chain.bundle.v
    # The control: these digests do depend on the inputs.
    other = outputs(2, *fixed[:2], "ab" * 32, "cd" * 32, str(chain.cache))
    assert other["vk"] == first["vk"]
    for name in ("root", "v", "pixels"):
        assert other[name] != first[name]


@pytest.mark.parametrize("name", ["secret", "seed"])
def test_one_input_moves_only_what_it_should(chain, name):
    """The secret salts the commitment and nothing else; the seed has no part in the commitment."""
    model = chain.model
    changed = {"secret": chain.owner.secret.hex(), "seed": chain.bundle.claim.seed}
    changed[name] = "ef" * 32
    found = outputs(2, str(model), str(chain.generator_file), *changed.values(), str(chain.cache))
    assert (found["root"] == chain.commitment.root_hex) == (name == "seed")
    assert (tuple(found["v"]) == chain.bundle.v) == (name == "secret")
