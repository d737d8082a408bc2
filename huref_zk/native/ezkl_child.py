"""Child process that runs one ezkl call: ``python -m huref_zk.native.ezkl_child``, job on stdin.

ezkl is a native library that has been seen to panic, and a panic or an allocation failure must not
take the caller with it. The job is JSON {"call", "arguments", "memory"}; the answer is one JSON
line on stdout, {"ok": result} or {"error": text}; anything else means that the call died.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

CALLS = ("compile_circuit", "gen_settings", "gen_witness", "prove", "setup", "verify")
COROUTINES = ("create_evm_verifier", "create_evm_vka")


def main() -> None:
    job = json.load(sys.stdin)
    # ezkl prints to stdout; keep the real one for the answer alone.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if job["memory"]:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (job["memory"], job["memory"]))
    import ezkl

    arguments = job["arguments"]
    if job["call"] not in CALLS + COROUTINES:
        raise SystemExit(f"unknown call {job['call']}")
    if "py_run_args" in arguments:
        run_args = ezkl.PyRunArgs()
        for name, value in arguments["py_run_args"].items():
            setattr(run_args, name, tuple(value) if isinstance(value, list) else value)
        arguments["py_run_args"] = run_args
    try:
        call = getattr(ezkl, job["call"])
        if job["call"] in COROUTINES:
            result = asyncio.run(_awaited(call, arguments))
        else:
            result = call(**arguments)
        text = {"ok": result if isinstance(result, (bool, str, int)) else True}
    except BaseException as e:  # pyo3 raises PanicException, which is no Exception
        text = {"error": f"{type(e).__name__}: {e}"}
    answer.write(json.dumps(text) + "\n")
    answer.flush()


async def _awaited(call, arguments: dict):
    """ezkl makes its coroutines only where a loop is running."""
    return await call(**arguments)


if __name__ == "__main__":
    main()
