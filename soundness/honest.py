"""Many honest proofs: ``python -m soundness.honest --count 200``.

Proof i is of random model i under a secret of its own, every second one under a fresh sketch seed;
one set of keys serves all. In every fifth, the cores' scales are such that a norm of each term is
one at which ezkl's own reciprocal rounds wrongly (BAD). Each is made, written, and verified from
its file. A line of FOLDER/honest-HIDDEN.jsonl says how it went; what stands there is not done
again, so the run may be interrupted. Exit code 1 when a proof was refused or a call into ezkl died.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from huref_zk.circuit import keys
from huref_zk.errors import HurefError
from huref_zk.files.writing import write_atomically
from huref_zk.invariants.encoder import filtered, load_encoder, norms
from huref_zk.invariants.quantise import Quantised, integer_maps, projected
from huref_zk.invariants.sketch import PUBLIC_SEED, group_rows
from huref_zk.proofs.kernel import Policy, Setup
from huref_zk.proofs.picture.file import write_bundle
from huref_zk.proofs.picture.prove import prove
from huref_zk.proofs.picture.verify import verify_file
from huref_zk.proofs.prepare import prepare
from huref_zk.render import Generator, load_generator
from huref_zk.render.image import write_png
from huref_zk.render.tensors_file import write_safetensors
from huref_zk.srs.trust import find_srs
from soundness import ROOT
from tests.support.chain import write_generator, write_owner

FOLDER = ROOT / "scratch" / "soundness"
DEMO = 64  # the demo's hidden size
LAYERS, HEADS, TOKENS, FIRST = 3, 4, 512, 256
BAD = (22539, 32681, 40330)
"""Norms at which ezkl 23.0.5 rounds 2^29 / n to a neighbour of the nearest integer."""


def seeds(index: int) -> tuple[bytes, bytes]:
    """(owner's secret, sketch seed) of proof ``index``, 32 bytes each."""
    secret = hashlib.sha256(b"honest secret %d" % index).digest()
    fresh = hashlib.sha256(b"honest seed %d" % index).digest()
    return secret, fresh if index % 2 else PUBLIC_SEED


def write_model(folder: Path, index: int, hidden: int) -> None:
    """A LLaMA folder with random weights of this hidden size."""
    rng = np.random.default_rng(1000 + index)
    ffn = 3 * hidden

    def draw(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    tensors = {"model.embed_tokens.weight": draw(FIRST + TOKENS, hidden)}
    for i in range(LAYERS):
        parts = {f"self_attn.{name}_proj": (hidden, hidden) for name in "qkvo"}
        parts |= {"mlp.gate_proj": (ffn, hidden), "mlp.up_proj": (ffn, hidden)}
        parts |= {"mlp.down_proj": (hidden, ffn)}
        tensors |= {f"model.layers.{i}.{n}.weight": draw(*shape) for n, shape in parts.items()}
        for name in ("input_layernorm", "post_attention_layernorm"):
            gains = rng.uniform(0.5, 1.5, hidden).astype(np.float32)
            tensors[f"model.layers.{i}.{name}.weight"] = gains
    folder.mkdir(parents=True)
    write_safetensors(folder / "model.safetensors", tensors, {})
    config = {
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": hidden,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "intermediate_size": ffn,
        "num_hidden_layers": LAYERS,
        "vocab_size": FIRST + TOKENS,
    }
    (folder / "config.json").write_text(json.dumps(config))


def meeting(q: Quantised, seed: bytes, shift: int, wanted: Sequence[int]) -> Quantised:
    """``q`` at other scales, a few entries moved by units, such that map t has the norm
    ``wanted[t]`` under ``seed`` exactly. For recipes of one core set."""
    encoder, rng = load_encoder(), np.random.default_rng(0)
    (core,) = q.C
    before = norms(encoder, integer_maps(q, seed), shift)
    factors = [n / before[t] for t, n in enumerate(wanted)]
    scaled = np.stack([np.rint(c * f) for c, f in zip(core, factors, strict=True)])
    if np.abs(scaled).max() > np.iinfo(np.int16).max:
        raise ValueError("the wanted norm is beyond 15 bits")
    q = replace(q, C=(scaled.astype(np.int16),))
    left, _, right = projected(q, seed)
    rows = left[group_rows(0)].astype(object)
    maps = np.array(integer_maps(q, seed), dtype=object)

    def sizes(of: np.ndarray) -> list[float]:
        """The norms before they are rounded, so that small steps are seen."""
        return [math.sqrt(int((u**2).sum())) for u in filtered(encoder, of, shift)]

    found = sizes(maps)
    for t, goal in enumerate(wanted):
        while round(found[t]) != goal:
            i, j = rng.integers(0, core.shape[1], 2)
            by = int(rng.choice([-1, 1]) * rng.integers(1, 9 + int(abs(found[t] - goal))))
            other = maps.copy()
            other[t] += by * np.outer(rows[:, i], right[:, j].astype(object))
            moved = sizes(other)
            if abs(moved[t] - goal) < abs(found[t] - goal):
                maps, found = other, moved
                q.C[0][t, i, j] += by
    assert norms(encoder, integer_maps(q, seed), shift)[: len(wanted)] == list(wanted)
    return q


def one_proof(
    index: int, hidden: int, cache: Path, generator_file: Path, generator: Generator
) -> dict:
    """Make and verify proof ``index``; what to log of it. Raises HurefError if it fails."""
    started = time.perf_counter()
    secret, seed = seeds(index)
    with tempfile.TemporaryDirectory(prefix="huref-zk-") as name:
        folder = Path(name)
        write_model(folder / "model", index, hidden)
        ref = str(folder / "model")
        prepared = prepare(ref, count=TOKENS)
        shift, bad = prepared.shape.shift, index % 5 == 4
        if bad:
            q = meeting(prepared.quantised, seed, shift, BAD)
            prepared = replace(prepared, quantised=q)
        srs = find_srs(prepared.shape.k, cache, make_test=True)
        keys.derive(prepared.shape, srs, cache)
        owner = write_owner(folder / "owner", ref, prepared, secret, srs)
        bundle, pixels = prove(owner, seed, srs, cache, generator)
        write_bundle(folder / "proof.hzp", bundle)
        write_png(folder / "picture.png", pixels)
        proven = time.perf_counter()
        report = verify_file(
            folder / "proof.hzp",
            folder / "owner" / "commitment.hzc",
            Setup(cache, allow_test=True),
            Policy(seed=seed),
            folder / "picture.png",
            generator_file,
        )
    return {
        "index": index,
        "steps": len(report.steps),
        "bad": bad,
        "root": owner.commitment.root_hex,
        "proof": hashlib.sha256(bundle.proof).hexdigest(),
        "prove_s": round(proven - started, 2),
        "verify_s": round(time.perf_counter() - proven, 2),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20, 3),
    }


def log_file(folder: Path, hidden: int) -> Path:
    return folder / f"honest-{hidden}.jsonl"


def logged(path: Path) -> list[dict]:
    """The lines of a log; a last line cut short by an interruption is dropped."""
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def run(
    count: int,
    folder: Path,
    hidden: int = DEMO,
    at_most: int | None = None,
    cache: Path | None = None,
) -> list[dict]:
    """Make the proofs 0..count-1 that are not logged yet, at most so many; the whole log.

    cache: where keys are kept; by default in the folder, and only until all is done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator_file, log = folder / "generator.safetensors", log_file(folder, hidden)
    if not generator_file.exists():
        write_generator(generator_file, 1)
    generator = load_generator(generator_file)
    if log.exists():  # what follows must not be appended to half a line
        text = log.read_text()
        write_atomically(log, text[: text.rfind("\n") + 1].encode())
    done = {line["index"] for line in logged(log)}
    missing = [index for index in range(count) if index not in done][:at_most]
    own = folder / f"cache-{hidden}"
    for index in missing:
        try:
            line = one_proof(index, hidden, cache or own, generator_file, generator)
        except HurefError as error:
            line = {"index": index, "error": f"{type(error).__name__}: {error}"}
        with open(log, "a") as file:
            file.write(json.dumps(line, sort_keys=True) + "\n")
        print(json.dumps(line, sort_keys=True), flush=True)
    lines = logged(log)
    if {line["index"] for line in lines} >= set(range(count)):
        shutil.rmtree(own, ignore_errors=True)  # a large proving key
    return [line for line in lines if line["index"] < count]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--hidden", type=int, default=DEMO, help="the models' hidden size")
    parser.add_argument("--at-most", type=int, help="stop after so many, to go on later")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    lines = run(options.count, options.folder, options.hidden, options.at_most)
    failed = [line for line in lines if "error" in line]
    print(
        f"{len(lines) - len(failed)} of {options.count} proven and verified, {len(failed)} failed"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
