"""Text that every machine has: some modules of Python's standard library."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path

import numpy as np

from huref_zk.attacks.checkpoint import Checkpoint
from huref_zk.errors import EnvironmentLacks

MODULES = ("argparse", "ast", "calendar", "difflib", "doctest", "inspect", "ipaddress", "pathlib")


def some_text() -> str:
    """The source of MODULES."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    return "\n".join((folder / f"{m}.py").read_text("utf-8") for m in MODULES)


def windows(checkpoint: Checkpoint, count: int, length: int) -> np.ndarray:
    """The text in windows of token ids int64 (count, length), evenly spaced.

    Without a tokenizer, or the library that runs it, tokens are drawn at random from the ids, which
    is no text: EnvironmentLacks says so.
    """
    if checkpoint.tokenizer is None:
        raise EnvironmentLacks(
            f"{checkpoint.source} has no tokenizer.json, so no text can be read by it"
        )
    try:
        from tokenizers import Tokenizer
    except ImportError as e:
        raise EnvironmentLacks(f"reading text needs tokenizers ({e})") from e
    tokenizer = Tokenizer.from_str(json.dumps(checkpoint.tokenizer))
    ids = np.array(tokenizer.encode(some_text(), add_special_tokens=False).ids, dtype=np.int64)
    starts = np.linspace(0, max(0, len(ids) - length), count).astype(int)
    return np.stack([ids[s : s + length] for s in starts])
