"""Models by hub id: download the files of one pinned revision, then read the folder."""

from __future__ import annotations

import re
from pathlib import Path

from huref_zk.errors import EnvironmentLacks, InputError

HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")
COMMIT = re.compile(r"[0-9a-f]{40}")
FILES = [
    *("config.json", "adapter_config.json", "adapter_model.safetensors", "*.index.json"),
    *("model.safetensors", "model*.safetensors", "quantize_config.json", "quant_config.json"),
    *("hf_quant_config.json", "tokenizer.json", "tokenizer.model", "tiktoken.model", "*.tiktoken"),
    *("vocab.json", "merges.txt", "added_tokens.json", "tokenizer_config.json"),
    "special_tokens_map.json",
]
PICKLES = ["pytorch_model*.bin"]


def download(hub_id: str, revision: str | None, allow_pickle: bool) -> Path:
    """The local snapshot folder of ``hub_id`` at ``revision`` (a full commit hash, so that what is
    fingerprinted cannot change under its name). Raises InputError, EnvironmentLacks."""
    if revision is None or not COMMIT.fullmatch(revision):
        raise InputError(
            f"name the revision of {hub_id}: --revision and its full 40-digit commit hash"
        )
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
        )
    except ImportError as e:
        raise EnvironmentLacks(
            f"the hub needs huggingface_hub ({e}); install the extra 'prove'"
        ) from e
    patterns = FILES + (PICKLES if allow_pickle else [])
    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError) as e:
        reason = (str(e).splitlines() or [type(e).__name__])[0][:200]
        raise InputError(f"the hub refused {hub_id} at {revision[:12]}: {reason}") from e
    except (LocalEntryNotFoundError, OSError) as e:
        raise EnvironmentLacks(
            f"cannot reach the hub for {hub_id}; give a local folder instead"
        ) from e
