"""Processes that heed signals as they do at a terminal, whatever this one was told to ignore."""

from __future__ import annotations

import signal


def heed() -> None:
    """For subprocess's preexec_fn: a runner in the background may have been told to ignore these,
    and children inherit that."""
    for name in ("SIGHUP", "SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
