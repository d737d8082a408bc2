"""Runs ezkl in a child process and maps every way it can end to one of our errors."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from huref_zk.errors import EnvironmentLacks, HurefError
from huref_zk.native.workers import child_environment

GIB = 1 << 30


class EzklFailed(HurefError):
    """An ezkl call reported an error, panicked, was killed or did not end in time."""

    exit_code = 3


def run(call: str, *, timeout: float | None = None, memory: int = 0, **arguments) -> object:
    """Run ``ezkl.<call>(**arguments)`` in a child; paths become strings.

    memory: address-space limit in bytes, 0 for none; timeout in seconds.
    Returns ezkl's own bool, str or int, else True. Raises EzklFailed.
    """
    job = {
        "call": call,
        "memory": memory,
        "arguments": {k: str(v) if isinstance(v, Path) else v for k, v in arguments.items()},
    }
    try:
        with tempfile.TemporaryDirectory(prefix="huref-zk-") as scratch:
            done = subprocess.run(
                [sys.executable, "-m", "huref_zk.native.ezkl_child"],
                input=json.dumps(job),
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
                env=child_environment(scratch),
            )
    except subprocess.TimeoutExpired as e:
        raise EzklFailed(f"ezkl {call} did not end within {timeout:.0f} s") from e
    except OSError as e:
        raise EnvironmentLacks(f"cannot start a child process for ezkl {call}: {e}") from e
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        if done.returncode == -9:
            raise EnvironmentLacks(
                f"ezkl {call} was killed, most likely for memory; free some and run again"
            ) from None
        tail = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise EzklFailed(f"ezkl {call} died ({tail[0][:200]})") from None
    if "error" in answer:
        text = answer["error"]
        if "No module named" in text:
            raise EnvironmentLacks(f"ezkl cannot be imported ({text}); pip install ezkl")
        raise EzklFailed(f"ezkl {call} failed: {text[:300]}")
    return answer["ok"]
