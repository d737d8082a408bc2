"""Write the trained generator as the package's own: float16, StyleGAN2's parameter names.

``python -m training.export_generator DIR/generator.pt [OUT]``. The noise parameters are left out
(the generator has none) and the resampling filters too (always [1, 3, 3, 1]). Float16 values are
exact in float32 and float64, so they are the weight grid that the exact back end starts from; it
wants activations below 256, which is checked here on random latents, as is what rounding the
weights cost.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from huref_zk.render.generator import EMBEDDED_PATH
from huref_zk.render.tensors_file import write_safetensors
from research.training import heads, stylegan2

ACTIVATION_LIMIT = 256.0  # that of huref_zk.render.stylegan2_numpy
MAX_BYTES = 16 << 20


def export(source: Path, target: Path) -> dict[str, float]:
    """Write ``target`` from the state dict in ``source``; figures of the check.

    Raises ValueError when a value leaves float16, an activation leaves the exact back end's range,
    or the file would be too large.
    """
    state = torch.load(source, weights_only=True)
    arrays = {name: value.numpy().astype(np.float16) for name, value in state.items()}
    bad = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if bad:
        raise ValueError(f"{bad[0]} does not fit float16")
    rounded = {name: torch.from_numpy(a.astype(np.float32)) for name, a in arrays.items()}
    figures = _compare(state, rounded)
    if figures["largest_activation"] > ACTIVATION_LIMIT / 2:
        raise ValueError(f"activations reach {figures['largest_activation']:.0f}")
    size = sum(array.nbytes for array in arrays.values())
    if size > MAX_BYTES:
        raise ValueError(f"{size} bytes of parameters; at most {MAX_BYTES} are shipped")
    metadata = {
        "lr_multiplier": str(stylegan2.MAPPING_LR_MULTIPLIER),
        "conv_clamp": "none",
        "trained_on": "training/heads.py, a procedural renderer; no photographs",
        "licence": "Apache-2.0",
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(target, arrays, metadata)
    return figures | {"parameters": sum(a.size for a in arrays.values()), "bytes": size}


@torch.no_grad()
def _compare(
    state: dict[str, torch.Tensor], rounded: dict[str, torch.Tensor], count: int = 32
) -> dict[str, float]:
    """What float16 costs in pixels, the largest activation, and the L1 to the renderer."""
    full, half = stylegan2.Generator(), stylegan2.Generator()
    full.load_state_dict(state)
    half.load_state_dict(rounded)
    largest = [0.0]

    def note(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:
        largest[0] = max(largest[0], float(output.abs().max()))

    for module in half.modules():
        if isinstance(module, stylegan2.SynthesisLayer | stylegan2.ToRGB):
            module.register_forward_hook(note)
    z = torch.randn(count, heads.Z_DIM, generator=torch.Generator().manual_seed(2))
    a, b = (torch.cat([g(part) for part in z.split(8)]) for g in (full, half))
    factors = heads.factors_of(z, heads.projection())
    target = torch.cat([heads.render(part) for part in factors.split(8)])
    return {
        "grey_levels_moved_by_float16": float((a - b).abs().max()) * 127.5,
        "largest_activation": largest[0],
        "l1_to_renderer": float((b - target).abs().mean()),
        "psnr_to_renderer_db": float(10 * torch.log10(4 / (b - target).square().mean())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path, nargs="?", default=EMBEDDED_PATH)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name, value in export(arguments.source, arguments.target).items():
        print(f"{name}: {value:.4g}")


if __name__ == "__main__":
    main()
