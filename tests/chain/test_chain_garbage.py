"""Garbage, bombs and huge claims as bundles: each refused, soon, and in little memory."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from huref_zk.commitment.descriptor import MAX_ROWS
from huref_zk.files.container import canonical_json
from huref_zk.files.formats import BUNDLE, COMMITMENT
from tests.support.tampering import header_of, pack, plain_json, raw, sections_of

MAGIC, MAX_BYTES = BUNDLE.magic, BUNDLE.max_bytes

WORKER = Path(__file__).parents[1] / "support" / "judge_garbage.py"
MEMORY_MB = 1024
SECONDS_EACH = 60  # on a busy machine; all but the largest take well under one


def judged(chain, folder: Path) -> dict:
    """What judge_garbage.py reports of all files in ``folder``."""
    files = [chain.commitment_file, chain.image_file, chain.cache, chain.generator_file]
    done = subprocess.run(
        [sys.executable, str(WORKER), str(folder), *map(str, files)],
        env={**os.environ, "PYTHONPATH": str(WORKER.parents[2])},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert max(report["mb"]) < MEMORY_MB, report["mb"]
    assert max(report["seconds"].values()) < SECONDS_EACH, report["seconds"]
    return report["outcomes"]


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "bundles"
    path.mkdir()
    return path


def sparse(path: Path, start: bytes, size: int) -> None:
    """A file of ``size`` bytes that takes no room on disk: ``start``, then zeros."""
    path.write_bytes(start)
    os.truncate(path, size)


def many_rows(chain, count: int) -> bytes:
    """A bundle whose commitment has ``count`` rows of E, all of them infinity."""
    descriptor = chain.commitment.descriptor.to_json()
    descriptor = {**descriptor, "tokens": {**descriptor["tokens"], "count": count}}
    hidden = descriptor["model"]["hidden_size"]
    points = (b"\x40" + bytes(31)) * (count + hidden)
    commitment = raw(canonical_json(descriptor), [points], COMMITMENT)
    return pack(header_of(chain.bundle), {**sections_of(chain.bundle), "commitment": commitment})


def test_bombs_and_huge_claims(chain, folder):
    honest = chain.bundle_file.read_bytes()
    header = header_of(chain.bundle)
    sections = sections_of(chain.bundle)
    zeros = bytes(64 << 20)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("bundle.hzp", zeros)
    deep = b'{"a":' * 10000 + b"1" + b"}" * 10000
    files = {
        "empty": b"",
        "one byte": b"\0",
        "magic": MAGIC,
        "half a length": MAGIC + b"\0\0",
        "header of 4 GB": MAGIC + b"\xff\xff\xff\xff" + b"{}",
        "header of 64 KB": raw(b" " * 65536, []),
        "deep objects": raw(deep, []),
        "deep lists": raw(b"[" * 65000, []),
        "long number": raw(b'{"v_bytes":' + b"9" * 65000 + b"}", []),
        "exponent": raw(b'{"v_bytes":1e999999999}', []),
        "many keys": raw(plain_json({str(i): i for i in range(5000)}), []),
        "zip": archive.getvalue(),
        "gzip": gzip.compress(zeros),
        "xz": lzma.compress(zeros, preset=0),
        "gzip of the bundle": gzip.compress(honest),
        "a section of 2^64 bytes": raw(canonical_json(header), []) + b"\xff" * 8,
        "proof of 4 MB": pack(header, {**sections, "proof": sections["proof"] + bytes(4_000_000)}),
        "proof of zeros": pack(header, {**sections, "proof": bytes(1 << 20)}),
        "commitment of 2 MB": pack(header, {**sections, "commitment": bytes(2 << 20)}),
        "8192 rows": many_rows(chain, 8192),
        "rows beyond the limit": many_rows(chain, MAX_ROWS),
        "the image": chain.image_file.read_bytes(),
        "the commitment": chain.commitment_file.read_bytes(),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    sparse(folder / "zeros just over the limit", b"", MAX_BYTES + 1)
    sparse(folder / "100 GB", honest, 100 << 30)
    start = raw(canonical_json(header), []) + (20 << 20).to_bytes(8, "big")
    sparse(folder / "commitment of 20 MB", start, len(start) + (20 << 20))
    (folder / "a folder").mkdir()
    os.mkfifo(folder / "a pipe")
    (folder / "endless").symlink_to("/dev/zero")
    (folder / "the honest one").write_bytes(honest)
    outcomes = judged(chain, folder)
    assert outcomes.pop("the honest one") == 8  # the control
    # Arguments that are no bundle, whoever wrote them: nobody is accused.
    arguments = ("a folder", "a pipe", "endless", "zeros just over the limit", "100 GB")
    assert {outcomes.pop(name) for name in arguments} == {"InputError"}
    late = {"8192 rows": "step 1", "proof of 4 MB": "step 5"}
    assert outcomes == {name: late.get(name, "step 0") for name in outcomes}
    assert len(outcomes) == len(files) + 1


def test_random_bytes_and_random_damage(chain, folder):
    """Noise of many sizes, alone and behind a true start; the honest bundle with one byte changed,
    a stretch cut out, doubled or overwritten, wherever it falls."""
    rng = random.Random(1)
    honest = chain.bundle_file.read_bytes()
    for n in range(40):
        (folder / f"noise {n}").write_bytes(rng.randbytes(rng.randrange(1 << rng.randrange(1, 18))))
    for n in range(40):
        at = rng.randrange(len(honest))
        (folder / f"noise from {n}").write_bytes(honest[:at] + rng.randbytes(len(honest) - at))
    for n in range(40):
        at, size = rng.randrange(len(honest)), rng.randrange(1, 200)
        stretch = honest[at : at + size]
        kinds = (
            honest[:at] + bytes([honest[at] ^ (1 << rng.randrange(8))]) + honest[at + 1 :],
            honest[:at] + honest[at + size :],
            honest[: at + size] + stretch + honest[at + size :],
            honest[:at] + bytes(x ^ 255 for x in stretch) + honest[at + size :],
        )
        (folder / f"damage {n}").write_bytes(kinds[n % 4])
    (folder / "the honest one").write_bytes(honest)
    outcomes = judged(chain, folder)
    assert outcomes.pop("the honest one") == 8  # the control
    assert len(outcomes) == 120
    assert set(outcomes.values()) <= {f"step {n}" for n in range(8)}
    assert {outcomes[f"noise {n}"] for n in range(40)} == {"step 0"}
    assert {"step 1", "step 5"} <= set(outcomes.values())  # some of it gets that far
