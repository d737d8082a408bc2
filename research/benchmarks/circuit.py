"""What the picture's circuit costs: ``python -m research.benchmarks.circuit [D ...]``

For each hidden size, in a process of its own and under the test SRS: deriving keys, proving random
rows and checking the proof, in seconds of the clock and of all processors together, the largest
process's memory, and bytes. One line of JSON each.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huref_zk.circuit import halo2, keys
from huref_zk.circuit.shape import shape_for
from huref_zk.invariants.encoder import CONDITIONS, encode_exact, load_encoder
from huref_zk.paths import default_cache
from huref_zk.srs.trust import find_test_srs
from tests.support.circuit_rows import maps_of, random_rows

SIZES = (16, 64, 576, 4096, 8192)


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """The result, and seconds by the clock and of processors; peak: gigabytes so far."""
    before, started = _processors(), time.perf_counter()
    result = work()
    took, spent = time.perf_counter() - started, _processors() - before
    peak = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return result, {
        "s": round(took, 1),
        "cpu_s": round(spent, 1),
        "peak_gb": round(peak / 2**20, 2),
    }


def _processors() -> float:
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def measure(hidden: int) -> dict[str, Any]:
    shape = shape_for(hidden)
    srs = find_test_srs(shape.k, default_cache(), make=True)
    rows = random_rows(shape)
    outputs = [*encode_exact(load_encoder(), maps_of(rows), shape.shift), CONDITIONS]
    with tempfile.TemporaryDirectory() as cache:
        derived, setup = timed(lambda: keys.derive(shape, srs, Path(cache)))
        proof, prove = timed(lambda: halo2.prove(rows, outputs, derived, srs, lambda _: None))
        fault, check = timed(lambda: halo2.check(proof, outputs, derived, srs))
        assert fault is None
        return {
            "hidden": hidden,
            "k": shape.k,
            "setup": setup,
            "prove": prove,
            "check": check,
            "proof_bytes": len(proof),
            "vk_bytes": derived.vk.stat().st_size,
            "pk_mb": derived.pk.stat().st_size >> 20,
        }


def main() -> None:
    if len(sys.argv) == 3 and sys.argv[1] == "--one":
        print(json.dumps(measure(int(sys.argv[2]))), flush=True)
        return
    for hidden in map(int, sys.argv[1:] or SIZES):
        command = [sys.executable, "-m", "research.benchmarks.circuit", "--one", str(hidden)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
