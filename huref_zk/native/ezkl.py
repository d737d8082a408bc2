"""Single calls of ezkl, each in a child process of its own, with limits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from huref_zk.errors import EnvironmentLacks, HurefError
from huref_zk.native.process import GIB, Child, lacks_resources, printable

__all__ = ["GIB", "EzklFailed", "run"]

CALLS = ("compile_circuit", "gen_settings", "gen_witness", "prove", "setup", "verify")
COROUTINES = ("create_evm_verifier", "create_evm_vka")


class EzklFailed(HurefError):
    """An ezkl call reported an error or panicked."""

    exit_code = 3


def run(call: str, *, timeout: float | None = None, memory: int = 0, **arguments: Any) -> Any:
    """Run ``ezkl.<call>(**arguments)`` in a child; Paths become absolute strings, `py_run_args` is
    a dict of names and values.

    timeout in seconds; memory: limit on the address space in bytes, 0 for none.
    Returns ezkl's own bool, str or int, else True. EzklFailed for what ezkl itself reports;
    EnvironmentLacks when it is missing, was killed, had too little memory or did not end in time.
    """
    plain = {k: os.path.abspath(v) if isinstance(v, Path) else v for k, v in arguments.items()}
    with Child(memory=memory) as child:
        kind, value = child.call(__name__, "call_ezkl", (call, plain), timeout, f"ezkl {call}")
        if kind == "ok":
            return value
        text = printable(value)[:300]
        if lacks_resources(text):
            words = f"the machine lacks what ezkl {call} needs ({text})"
            raise EnvironmentLacks(words + child.limit_words())
        raise EzklFailed(f"ezkl {call} failed: {text}")


def call_ezkl(call: str, arguments: dict[str, Any]) -> tuple[str, bool | str | int]:
    """Within the child: ("ok", result) or ("failed", text)."""
    if call not in CALLS + COROUTINES:
        raise ValueError(f"unknown call {call}")
    try:
        import ezkl
    except ModuleNotFoundError as error:
        raise EnvironmentLacks(
            f"ezkl cannot be imported where this Python keeps its packages ({error}); "
            "pip install ezkl (PYTHONPATH is not looked at)"
        ) from error
    if "py_run_args" in arguments:
        run_args = ezkl.PyRunArgs()
        for name, value in arguments["py_run_args"].items():
            setattr(run_args, name, tuple(value) if isinstance(value, list) else value)
        arguments["py_run_args"] = run_args
    try:
        if call in COROUTINES:
            result = _finish(getattr(ezkl, call), arguments)
        else:
            result = getattr(ezkl, call)(**arguments)
    except MemoryError:
        raise
    except BaseException as error:  # pyo3 raises PanicException, which is no Exception
        return "failed", f"{type(error).__name__}: {error}"
    return "ok", result if isinstance(result, (bool, str, int)) else True


def _finish(call: Any, arguments: dict[str, Any]) -> Any:
    """ezkl makes its coroutines only where a loop is running."""
    import asyncio

    async def awaited() -> Any:
        return await call(**arguments)

    return asyncio.run(awaited())
