"""Encoders for quantised formats, after their public layouts: each turns a matrix into the tensors
that stand for it, and says what they decode to."""

from __future__ import annotations

import json

import ml_dtypes
import numpy as np
import torch

F8 = ml_dtypes.float8_e4m3fn
FP4 = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
FP4 += [-x for x in FP4]
NF4 = [
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
]
Parts = tuple[dict[str, np.ndarray], np.ndarray]


def nearest(values: np.ndarray, table: list[float]) -> np.ndarray:
    return np.abs(values[..., None] - np.array(table)).argmin(axis=-1)


def words(codes: np.ndarray, bits: int) -> np.ndarray:
    """Codes along the last axis in words of 32 bits, the first lowest: bit by bit."""
    rows = codes.reshape(-1, codes.shape[-1])
    out = np.zeros((len(rows), -(-codes.shape[-1] * bits // 32)), dtype=np.uint64)
    for column in range(codes.shape[-1]):
        for bit in range(bits):
            place = column * bits + bit
            one = (rows[:, column].astype(np.uint64) >> np.uint64(bit)) & np.uint64(1)
            out[:, place // 32] |= one << np.uint64(place % 32)
    return out.astype(np.uint32).reshape(*codes.shape[:-1], -1)


def fp8_blocks(name: str, w: np.ndarray, block: int = 32) -> Parts:
    tall, wide = (-(-n // block) for n in w.shape)
    codes, scales = np.zeros(w.shape, F8), np.zeros((tall, wide), np.float32)
    decoded = np.zeros_like(w)
    for i in range(tall):
        for j in range(wide):
            at = np.s_[i * block : (i + 1) * block, j * block : (j + 1) * block]
            scales[i, j] = np.abs(w[at]).max() / 448
            codes[at] = (w[at] / scales[i, j]).astype(F8)
            decoded[at] = codes[at].astype(np.float32) * scales[i, j]
    return {f"{name}.weight": codes, f"{name}.weight_scale_inv": scales}, decoded


def fp8_rows(name: str, w: np.ndarray) -> Parts:
    scales = (np.abs(w).max(axis=1, keepdims=True) / 448).astype(np.float32)
    codes = (w / scales).astype(F8)
    parts = {f"{name}.weight": codes, f"{name}.weight_scale": scales}
    parts[f"{name}.input_scale"] = np.ones(1, np.float32)
    return parts, codes.astype(np.float32) * scales


def fp8_whole(name: str, w: np.ndarray) -> Parts:
    scale = np.float32(np.abs(w).max() / 448)
    codes = (w / scale).astype(F8)
    parts = {f"{name}.weight": codes, f"{name}.weight_scale": np.array(scale)}
    return parts, codes.astype(np.float32) * scale


def int8_rows(name: str, w: np.ndarray) -> Parts:
    scales = (np.abs(w).max(axis=1, keepdims=True) / 127).astype(np.float32)
    codes = np.rint(w / scales).astype(np.int8)
    return {f"{name}.weight": codes, f"{name}.weight_scale": scales}, codes * scales


def affine(w: np.ndarray, bits: int, group: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(codes (out, in), scales, zeros (out, groups)): unsigned, with a zero for each group."""
    rows = w.reshape(len(w), -1, group)
    low, high = rows.min(axis=2), rows.max(axis=2)
    scales = ((high - low) / (2**bits - 1)).astype(np.float16).astype(np.float32)
    zeros = np.clip(np.rint(-low / scales), 0, 2**bits - 1)
    codes = np.clip(np.rint(rows / scales[..., None]) + zeros[..., None], 0, 2**bits - 1)
    return codes.reshape(w.shape).astype(np.uint8), scales, zeros.astype(np.uint8)


def undone(codes, scales, zeros, group: int) -> np.ndarray:
    spread = np.repeat(scales, group, axis=1)
    return (codes.astype(np.float32) - np.repeat(zeros, group, axis=1)) * spread


def packed(name: str, w: np.ndarray, bits: int = 4, group: int = 32, zeros: bool = False) -> Parts:
    """compressed-tensors' pack-quantized."""
    shape = {f"{name}.weight_shape": np.array(w.shape, np.int64)}
    if zeros:
        codes, scales, zero = affine(w, bits, group)
        low = words(np.ascontiguousarray(zero.T), bits).T.astype(np.uint32).view(np.int32)
        shape[f"{name}.weight_zero_point"] = np.ascontiguousarray(low)
        decoded = undone(codes, scales, zero, group)
    else:
        rows = w.reshape(len(w), -1, group)
        scales = (np.abs(rows).max(axis=2) / (2 ** (bits - 1) - 0.5)).astype(np.float16)
        scales = scales.astype(np.float32)
        half = 2 ** (bits - 1)
        signed = np.clip(np.rint(rows / scales[..., None]), -half, half - 1)
        codes = (signed + half).astype(np.uint8).reshape(w.shape)
        decoded = (signed * scales[..., None]).reshape(w.shape)
    return {
        **shape,
        f"{name}.weight_packed": words(codes, bits).view(np.int32),
        f"{name}.weight_scale": scales.astype(np.float16),
    }, decoded.astype(np.float32)


def gptq(
    name: str, w: np.ndarray, bits: int = 4, group: int = 32, less: int = 1, shuffle: bool = False
) -> Parts:
    """Packed along the inputs; zeros are stored less one. shuffle: groups in the order of use."""
    order = np.random.default_rng(0).permutation(w.shape[1]) if shuffle else np.arange(w.shape[1])
    codes, scales, zeros = affine(w[:, order], bits, group)
    zeros = np.maximum(zeros, less)
    decoded = undone(codes, scales, zeros, group)
    back = np.argsort(order)
    index = (np.arange(w.shape[1]) // group)[back].astype(np.int32)
    return {
        f"{name}.qweight": words(codes[:, back], bits).T.copy().view(np.int32),
        f"{name}.qzeros": words(np.ascontiguousarray((zeros - less).T), bits).view(np.int32),
        f"{name}.scales": scales.T.astype(np.float16).copy(),
        f"{name}.g_idx": index,
    }, decoded[:, back]


def awq(name: str, w: np.ndarray, group: int = 32) -> Parts:
    codes, scales, zeros = affine(w, 4, group)

    def pack(columns: np.ndarray) -> np.ndarray:
        """(rows, out) -> (rows, out / 8), in the order 0, 2, 4, 6, 1, 3, 5, 7."""
        out = np.zeros((len(columns), columns.shape[1] // 8), np.uint32)
        for word in range(out.shape[1]):
            for n, column in enumerate((0, 2, 4, 6, 1, 3, 5, 7)):
                out[:, word] |= columns[:, 8 * word + column].astype(np.uint32) << np.uint32(4 * n)
        return out.view(np.int32)

    return {
        f"{name}.qweight": pack(codes.T),
        f"{name}.qzeros": pack(zeros.T),
        f"{name}.scales": scales.T.astype(np.float16).copy(),
    }, undone(codes, scales, zeros, group)


def mlx(name: str, w: np.ndarray, bits: int = 4, group: int = 32) -> Parts:
    rows = w.reshape(len(w), -1, group)
    low, high = rows.min(axis=2), rows.max(axis=2)
    scales = ((high - low) / (2**bits - 1)).astype(np.float16).astype(np.float32)
    biases = low.astype(np.float16).astype(np.float32)
    codes = np.clip(np.rint((rows - biases[..., None]) / scales[..., None]), 0, 2**bits - 1)
    decoded = codes * scales[..., None] + biases[..., None]
    return {
        f"{name}.weight": words(codes.astype(np.uint8).reshape(w.shape), bits),
        f"{name}.scales": scales.astype(np.float16),
        f"{name}.biases": biases.astype(np.float16),
    }, decoded.reshape(w.shape).astype(np.float32)


def nf4(name: str, w: np.ndarray, block: int = 64, nested: bool = False) -> Parts:
    flat = w.reshape(-1, block)
    sizes = np.abs(flat).max(axis=1).astype(np.float32)
    told = {"quant_type": "nf4", "blocksize": block, "dtype": "float32", "shape": list(w.shape)}
    parts = {f"{name}.weight.quant_map": np.array(NF4, np.float32)}
    if nested:
        offset, table = float(sizes.mean()), np.linspace(-1, 1, 256).astype(np.float32)
        outer_block = 16
        moved = sizes - np.float32(offset)
        padded = np.pad(moved, (0, -len(moved) % outer_block)).reshape(-1, outer_block)
        outer = np.abs(padded).max(axis=1).astype(np.float32)
        scaled = moved / np.repeat(outer, outer_block)[: len(moved)]
        codes = nearest(scaled, table.tolist()).astype(np.uint8)
        sizes = table[codes] * np.repeat(outer, outer_block)[: len(moved)] + np.float32(offset)
        told |= {"nested_blocksize": outer_block, "nested_offset": offset}
        parts |= {
            f"{name}.weight.absmax": codes,
            f"{name}.weight.nested_absmax": outer,
            f"{name}.weight.nested_quant_map": table,
        }
    else:
        parts[f"{name}.weight.absmax"] = sizes
    codes = nearest(flat / np.abs(sizes[:, None]), NF4).reshape(-1)
    decoded = np.array(NF4, np.float32)[codes].reshape(flat.shape) * sizes[:, None]
    pairs = codes.reshape(-1, 2).astype(np.uint8)
    state = np.frombuffer(json.dumps(told).encode(), np.uint8)
    return {
        **parts,
        f"{name}.weight": (pairs[:, 0] << 4 | pairs[:, 1])[:, None],
        f"{name}.weight.quant_state.bitsandbytes__nf4": state.copy(),
    }, decoded.reshape(w.shape).astype(np.float32)


def bnb_int8(name: str, w: np.ndarray) -> Parts:
    sizes = np.abs(w).max(axis=1).astype(np.float32)
    codes = np.rint(w / sizes[:, None] * 127).astype(np.int8)
    decoded = codes.astype(np.float32) * (sizes / np.float32(127))[:, None]
    more = {f"{name}.SCB": sizes, f"{name}.weight_format": np.array(0, np.uint8)}
    return {f"{name}.weight": codes, **more}, decoded


def nvfp4(name: str, w: np.ndarray, modelopt: bool = False) -> Parts:
    rows = w.reshape(len(w), -1, 16)
    largest = np.abs(rows).max(axis=2)
    factor = np.float32(largest.max() / 6 / 448)
    scales = (largest / 6 / factor).astype(F8)
    each = scales.astype(np.float32) * factor
    codes = nearest(rows / np.maximum(each, 1e-30)[..., None], FP4)
    codes = codes.reshape(w.shape).astype(np.uint8)
    bytes_ = codes[:, 0::2] | codes[:, 1::2] << 4
    table = np.array(FP4, np.float32)
    decoded = (table[codes].reshape(rows.shape) * each[..., None]).reshape(w.shape)
    if modelopt:
        parts = {"weight": bytes_, "weight_scale_2": np.array(factor)}
    else:
        parts = {"weight_packed": bytes_, "weight_global_scale": np.array([1 / factor], np.float32)}
    parts["weight_scale"] = scales
    return {f"{name}.{part}": values for part, values in parts.items()}, decoded.astype(np.float32)


def mxfp4(name: str, w: np.ndarray) -> Parts:
    """Experts (E, in, out) as gpt-oss has them."""
    rows = np.ascontiguousarray(w.swapaxes(1, 2)).reshape(w.shape[0], w.shape[2], -1, 32)
    powers = np.ceil(np.log2(np.abs(rows).max(axis=3) / 6)).astype(np.int32)
    codes = nearest(rows / np.exp2(powers)[..., None], FP4).astype(np.uint8)
    decoded = np.array(FP4, np.float32)[codes] * np.exp2(powers)[..., None].astype(np.float32)
    decoded = decoded.reshape(w.shape[0], w.shape[2], -1).swapaxes(1, 2)
    return {
        f"{name}_blocks": codes[..., 0::2] | codes[..., 1::2] << 4,
        f"{name}_scales": (powers + 127).astype(np.uint8),
    }, decoded


def save(path, tensors: dict[str, np.ndarray]) -> None:
    """As safetensors: numpy has no names for some types that torch has."""
    from safetensors.torch import save_file

    held = {}
    for name, values in tensors.items():
        values = np.ascontiguousarray(values)
        if values.dtype == F8:
            held[name] = torch.from_numpy(values.view(np.uint8)).view(torch.float8_e4m3fn)
        else:
            held[name] = torch.from_numpy(values)
    save_file(held, path, metadata={"format": "pt"})
