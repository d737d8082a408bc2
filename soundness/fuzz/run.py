"""``python -m soundness.fuzz.run [NAME ...] --seconds 60``: fuzz parsers, each in its own process.

With atheris, guided by coverage; with --runs N, without it: N mutations with a fixed seed. An input
that brings out anything but a HurefError, takes more than TIME or more than MEMORY, is left in
soundness/fuzz/corpus/NAME, where the suite replays it ever after.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
TIME = 10
"""Seconds of one input."""
MEMORY = 1 << 30
"""Bytes of address space on top of what the process has before the first input."""


class TooSlow(Exception):
    """An input took more than TIME."""


def attempt(parser, data: bytes, folder: Path) -> str:
    """One input: "accepted", or the class of the HurefError. Any other exception comes through."""
    from huref_zk.errors import HurefError

    try:
        parser.read(data, folder)
    except HurefError as error:
        return type(error).__name__
    return "accepted"


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Memory and time within which every input must be judged."""
    with open("/proc/self/statm") as statm:
        now = int(statm.read().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, limits[1]))

    def ring(*_):
        raise TooSlow(f"more than {TIME} s")

    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def plain(name: str, runs: int, seed: int, folder: Path) -> dict[str, int]:
    """``runs`` mutations of the honest files and of the corpus; how often each outcome was seen."""
    from soundness.fuzz.mutate import mutate
    from soundness.fuzz.parsers import PARSERS

    parser = PARSERS[name]
    starts = parser.seeds(folder)
    for start in starts:  # the control: what is mutated is accepted as it is
        parser.read(start, folder)
    pool = [*starts, *(path.read_bytes() for path in crashers(name))]
    rng = random.Random(f"{name} {seed}")
    seen: dict[str, int] = {}
    with bounded():
        for _ in range(runs):
            data = mutate(rng.choice(pool), pool, rng)
            signal.alarm(TIME)
            try:
                outcome = attempt(parser, data, folder)
            except BaseException:
                keep(name, data)
                raise
            seen[outcome] = seen.get(outcome, 0) + 1
    return seen


def crashers(name: str) -> list[Path]:
    """Inputs that once crashed a parser."""
    return sorted((CORPUS / name).glob("*")) if (CORPUS / name).is_dir() else []


def keep(name: str, data: bytes) -> Path:
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"crash-{hashlib.sha256(data).hexdigest()[:16]}"
    path.write_bytes(data)
    return path


def guided(name: str, seconds: int, folder: Path) -> None:
    """Fuzz with atheris for so long; ends the process, not with 0 if something was found."""
    import atheris

    with atheris.instrument_imports(include=["huref_zk"]):
        from soundness.fuzz.parsers import PARSERS
    from soundness.fuzz.mutate import mutate

    parser = PARSERS[name]
    start = folder / "corpus"
    start.mkdir()
    pool = [*parser.seeds(folder), *(path.read_bytes() for path in crashers(name))]
    for i, data in enumerate(pool):
        (start / f"seed-{i}").write_bytes(data)
    longest = 2 * max(map(len, pool)) + 4096

    def mutator(data: bytes, limit: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.5:
            return atheris.Mutate(data, len(data))[:limit]
        return mutate(data, pool, rng)[:limit]

    (CORPUS / name).mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", f"-max_len={longest}", f"-timeout={TIME}"]
    options += [f"-rss_limit_mb={2 * MEMORY >> 20}", f"-malloc_limit_mb={MEMORY >> 20}"]
    options += [f"-artifact_prefix={CORPUS / name}/", "-print_final_stats=1", "-verbosity=1"]
    atheris.Setup(
        [sys.argv[0], *options, str(start)],
        lambda data: attempt(parser, data, folder),
        custom_mutator=mutator,
    )
    atheris.Fuzz()


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("names", nargs="*", help="parsers; default: all")
    options.add_argument("--seconds", type=int, default=60, help="for each parser")
    options.add_argument("--runs", type=int, help="so many mutations instead, without atheris")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.child:
        with tempfile.TemporaryDirectory(prefix="huref-zk-fuzz-") as folder:
            if given.runs is None:
                guided(given.names[0], given.seconds, Path(folder))
            else:
                print(plain(given.names[0], given.runs, given.seed, Path(folder)))
        return 0
    from soundness.fuzz.parsers import PARSERS

    failed = []
    for name in given.names or PARSERS:
        started = time.monotonic()
        arguments = [name, "--child", "--seconds", str(given.seconds), "--seed", str(given.seed)]
        if given.runs is not None:
            arguments += ["--runs", str(given.runs)]
        done = subprocess.run(
            [sys.executable, "-m", "soundness.fuzz.run", *arguments],
            capture_output=True,
            text=True,
            errors="replace",
        )
        print(f"{name}: {outcome(done)}, {time.monotonic() - started:.0f} s", flush=True)
        if done.returncode:
            failed.append(name)
            print((done.stdout + done.stderr)[-3000:], flush=True)
    print(f"{len(failed)} parsers failed: {' '.join(failed) or 'none'}")
    return 1 if failed else 0


def outcome(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode:
        return f"FAILED ({done.returncode})"
    lines = (done.stdout + done.stderr).splitlines()
    numbers = [line.split()[-1] for line in lines if "number_of_executed_units" in line]
    covered = [line for line in lines if " cov: " in line]
    if numbers:
        found = covered[-1].split(" cov: ")[1].split()[0] if covered else "?"
        return f"{numbers[0]} inputs, {found} edges"
    return done.stdout.splitlines()[-1]


if __name__ == "__main__":
    sys.exit(main())
