"""Which quantised format a checkpoint has, by what its config says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huref_zk.errors import InputError
from huref_zk.models.formats import Format
from huref_zk.models.formats.bitsandbytes import BitsAndBytes
from huref_zk.models.formats.compressed import Compressed
from huref_zk.models.formats.fours import Mxfp4
from huref_zk.models.formats.packed import Awq, Gptq, Mlx
from huref_zk.models.formats.scaled import Scaled
from huref_zk.models.json_file import MAX_CONFIG, read_json

READ = "FP8, compressed-tensors, ModelOpt, MXFP4, GPTQ, AWQ, bitsandbytes, MLX"
_FILES = {"quantize_config.json": "gptq", "quant_config.json": "awq", "hf_quant_config.json": None}
_COMPRESSED = (
    *("dense", "float-quantized", "int-quantized", "naive-quantized", "pack-quantized"),
    *("nvfp4-pack-quantized", "mixed-precision", None),
)


def format_of(folder: Path, config: dict[str, Any]) -> Format | None:
    """The format of a checkpoint's weights; None for plain ones. InputError for one that is not
    read."""
    mlx = config.get("quantization")
    if isinstance(mlx, dict) and type(mlx.get("bits")) is int:
        return _mlx(folder, mlx)
    told = _told(folder, config)
    if told is None:
        return None
    method = str(told.get("quant_method", "")).lower().replace("_", "-")
    if method in ("fp8", "fbgemm-fp8", "finegrained-fp8"):
        return Scaled("FP8", _block(told.get("weight_block_size")))
    if method in ("compressed-tensors", "modelopt"):
        return _compressed(folder, method, told)
    if method == "mxfp4":
        return Mxfp4()
    if method in ("gptq", "auto-round", "intel/auto-round") and _gptq_like(told):
        return Gptq(_bits(folder, told, (2, 4, 8)), 0 if _second(told) else 1)
    if method == "awq" and str(told.get("version", "gemm")).lower() == "gemm":
        _bits(folder, {"bits": told.get("bits", told.get("w_bit"))}, (4,))
        return Awq()
    if method in ("bitsandbytes", "bnb") or told.get("load_in_4bit") or told.get("load_in_8bit"):
        return BitsAndBytes()
    what = method or "an unknown format"
    kept = told.get("checkpoint_format") or told.get("packing_format") or told.get("version")
    more = f" ({str(kept)[:40]})" if kept else ""
    raise InputError(
        f"{folder} is quantised as {what[:40]}{more}, which is not read; read are {READ}"
    )


def _told(folder: Path, config: dict[str, Any]) -> dict[str, Any] | None:
    """The object that describes the quantisation, of config.json or a file of its own."""
    inner = config.get("text_config")
    for place in (config, inner if isinstance(inner, dict) else {}):
        for key in ("quantization_config", "compression_config"):
            found = place.get(key)
            if isinstance(found, dict):
                usual = {"quant_method": "compressed-tensors"} if key[0] == "c" else {}
                return {**usual, **found}
    for name, method in _FILES.items():
        if (folder / name).exists():
            found = read_json(folder / name, MAX_CONFIG)
            if method is None:
                return {"quant_method": "modelopt", **found}
            return {"quant_method": method, **found}
    return None


def _compressed(folder: Path, method: str, told: dict[str, Any]) -> Format:
    given = told.get("config_groups")
    groups = [g for g in given.values() if isinstance(g, dict)] if isinstance(given, dict) else []
    formats = {told.get("format"), *(g.get("format") for g in groups)}
    weights: list[dict[str, Any]] = [w for g in groups if isinstance(w := g.get("weights"), dict)]
    odd = sorted(str(f) for f in formats if f not in _COMPRESSED)
    sparse = told.get("sparsity_config")
    if isinstance(sparse, dict) and sparse.get("format", "dense") != "dense":
        odd.append(str(sparse.get("format")))
    if told.get("transform_config"):
        odd.append("with a transform of its own")
    if odd:
        raise InputError(f"{folder} is quantised as {method} {odd[0][:60]}, which is not read")
    bits = {w.get("num_bits") for w in weights if w.get("type") == "int"} or {4}
    packed = {n for n in (2, 4, 8) if n in bits}
    blocks = [found for w in weights if (found := _block(w.get("block_structure")))]
    if len(packed) != 1 and "pack-quantized" in formats:
        told_bits = ", ".join(sorted(map(str, bits)))
        raise InputError(f"{folder} has integers of {told_bits[:40]} bits, which is not read")
    few: int = next(iter(packed)) if len(packed) == 1 else 4
    return Compressed(method, few, blocks[0] if blocks else None)


def _mlx(folder: Path, told: dict[str, Any]) -> Format:
    if told.get("mode", "affine") != "affine":
        mode = str(told["mode"])[:40]
        raise InputError(f"{folder} is quantised by MLX as {mode}, which is not read")

    def sizes(of: dict[str, Any]) -> tuple[int, int]:
        bits, group = of.get("bits", told["bits"]), of.get("group_size", told.get("group_size", 64))
        if bits not in (2, 3, 4, 5, 6, 8) or type(group) is not int or not 0 < group < 1 << 16:
            raise InputError(
                f"{folder}: MLX's quantisation says bits = {bits!r}, group = {group!r}"
            )
        return bits, group

    own = {name: sizes(value) for name, value in told.items() if isinstance(value, dict)}
    return Mlx(*sizes(told), own)


def _gptq_like(told: dict[str, Any]) -> bool:
    kept = str(told.get("checkpoint_format", "gptq")).lower()
    packing = str(told.get("packing_format", "auto_gptq")).lower()
    return kept in ("gptq", "gptq_v2") and "gptq" in packing


def _second(told: dict[str, Any]) -> bool:
    return str(told.get("checkpoint_format")).lower() == "gptq_v2"


def _bits(folder: Path, told: dict[str, Any], known: tuple[int, ...]) -> int:
    bits = told.get("bits", 4)
    if type(bits) is not int or bits not in known:
        raise InputError(f"{folder} is quantised to {str(bits)[:20]} bits; read are {known}")
    return bits


def _block(value: Any) -> tuple[int, int] | None:
    """Rows and columns that share a scale; None where nothing says so."""
    if isinstance(value, list) and len(value) == 2 and all(type(n) is int and n > 0 for n in value):
        return value[0], value[1]
    return None
