"""Child process: verifies every file of a folder as a bundle, and reports what it took.

    python judge_garbage.py FOLDER COMMITMENT IMAGE CACHE GENERATOR

Prints one JSON object: outcomes {file: step, or name of the error}, seconds {file: time}, and the
peak resident memory in MB of this process and of its largest child. Any exception that is not one
of the package's own ends it with a traceback.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from huref_zk.errors import HurefError, StepFailed
from huref_zk.proofs.kernel import Setup
from huref_zk.proofs.picture.verify import verify_file
from tests.support.peak_memory import own_peak


def main() -> None:
    folder, commitment, image, cache, generator = (Path(a) for a in sys.argv[1:])
    outcomes: dict[str, int | str] = {}
    seconds: dict[str, float] = {}
    for path in sorted(folder.iterdir()):
        start = time.monotonic()
        try:
            setup = Setup(cache, allow_test=True)
            report = verify_file(path, commitment, setup, image=image, generator=generator)
            outcomes[path.name] = len(report.steps)
        except StepFailed as e:
            outcomes[path.name] = f"step {e.step}"
        except HurefError as e:
            outcomes[path.name] = type(e).__name__
        seconds[path.name] = time.monotonic() - start
    own = own_peak() / 2**20
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(json.dumps({"outcomes": outcomes, "seconds": seconds, "mb": [own, children]}))


if __name__ == "__main__":
    main()
