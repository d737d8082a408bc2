"""What a child process measures of itself."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path


def own_peak() -> int:
    """Peak resident bytes of this process; ru_maxrss would count its parent's from the fork."""
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024
