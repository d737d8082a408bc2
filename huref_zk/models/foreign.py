"""Folders and files of weights that are known by sight but not read: what they are, and what to do.

Each is told by names that its makers gave its files, or by the first bytes of one.
"""

from __future__ import annotations

from pathlib import Path

from huref_zk.errors import InputError

_LFS = b"version https://git-lfs.github.com/spec/"
_CONVERT = "convert it to safetensors"
# (a glob in the folder, what it means)
_SIGHTS = (
    ("*.nemo", f"it is a NeMo archive: {_CONVERT}"),
    ("model_weights/metadata.json", f"it is an unpacked NeMo checkpoint: {_CONVERT}"),
    ("latest_checkpointed_iteration.txt", f"it is a Megatron checkpoint: {_CONVERT}"),
    ("mp_rank_*", f"it is a Megatron checkpoint: {_CONVERT}"),
    ("*.distcp", f"it is a distributed checkpoint of torch (DCP): {_CONVERT}"),
    ("pytorch_model_fsdp*", f"it is a checkpoint of FSDP: {_CONVERT}"),
    ("zero_pp_rank_*", f"it is a checkpoint of DeepSpeed's ZeRO: {_CONVERT}"),
    ("global_step*", f"it is a checkpoint of DeepSpeed: {_CONVERT}"),
    ("_CHECKPOINT_METADATA", f"it is an Orbax checkpoint: {_CONVERT}"),
    ("manifest.ocdbt", f"it is an Orbax checkpoint: {_CONVERT}"),
    ("consolidated*.pth", f"it is Meta's consolidated form: {_CONVERT}"),
    ("consolidated*.safetensors", f"it is Mistral's consolidated form: {_CONVERT}"),
    ("mlc-chat-config.json", "it is compiled for MLC: take the model that it was made from"),
    ("*.engine", "it is an engine of TensorRT: take the model that it was made from"),
    ("*.onnx", "it is an ONNX model: take the model that it was made from"),
    ("tf_model*.h5", f"its weights are TensorFlow's: {_CONVERT}"),
    ("flax_model*.msgpack", f"its weights are Flax's: {_CONVERT}"),
    ("rust_model.ot", f"its weights are rust-bert's: {_CONVERT}"),
    ("*.pth", f"its weights are a .pth file: {_CONVERT}"),
    ("model_index.json", "it is a pipeline of diffusers, no language model"),
)


def foreign(folder: Path) -> str | None:
    """What a folder without readable weights seems to be, in words; None when nothing is known."""
    files = sorted(path.name for path in folder.glob("*.gguf"))
    if files:
        return f"it holds {files[0][:80]}: give that file itself"
    snapshots = folder / "snapshots"
    if snapshots.is_dir():
        names = sorted(path.name for path in snapshots.iterdir())
        if names:
            return f"it is a model's cache folder: give its snapshots/{names[-1][:60]}"
    for pattern, words in _SIGHTS:
        if any(True for _ in folder.glob(pattern)):
            return words
    return None


def told(path: Path) -> str:
    """ "; " and what a file that cannot be read is instead, where that is known; else nothing."""
    if not path.is_file():
        return ""
    try:
        with open(path, "rb") as file:
            head = file.read(len(_LFS))
    except OSError:
        return ""
    return "; it is a git-lfs pointer: run git lfs pull" if head == _LFS else ""


def regular(path: Path) -> None:
    """InputError for anything but a regular file, perhaps behind links: whoever opens a pipe waits
    until somebody writes into it."""
    if not path.is_file():
        raise InputError(f"{path} is not a regular file")
