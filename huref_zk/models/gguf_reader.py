"""The gguf library's reader, for files that nobody vouches for.

The library takes what is left where a file ends early, and goes on: an array that claims 2^60
entries beyond the end keeps it busy for ever.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from huref_zk.errors import EnvironmentLacks, InputError

MAX_PARTS = 1 << 22
"""Numbers and texts outside of tensors; a vocabulary of 262,144 with its merges has 2.1 million."""


def read_gguf(path: Path):
    """A gguf.GGUFReader of the file. Raises InputError, and EnvironmentLacks without gguf."""
    try:
        from gguf import GGUFReader
    except ImportError as e:
        raise EnvironmentLacks(
            f"reading GGUF needs gguf ({e}); install the extra 'prove'"
        ) from e

    class Bounded(GGUFReader):
        parts = 0

        def _get(self, offset, dtype, count=1, override_order=None):
            self.parts += 1
            if self.parts > MAX_PARTS:
                raise ValueError(f"it has more than {MAX_PARTS:,} entries")
            found = super()._get(offset, dtype, count, override_order)
            if len(found) < count:
                raise ValueError("it ends early")
            return np.asarray(found)  # a plain view: a third of a memmap's size

    try:
        return Bounded(path)
    except Exception as e:  # the library raises whatever its parsing meets
        raise InputError(f"{path} is not a valid GGUF file ({type(e).__name__}: {e})") from e
