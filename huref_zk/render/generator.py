"""A StyleGAN2 generator held in memory: checked, frozen, and named by a digest."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import numpy as np

from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.render import architecture as arch
from huref_zk.render.config import EMBEDDED_CONFIG, HUREF_CONFIG, RenderConfig
from huref_zk.render.tensors_file import read_safetensors

EMBEDDED_PATH = Path(__file__).resolve().parent.parent / "data" / "generator.safetensors"
# 1024 px, 512 channels and 16 mapping layers hold 40 million values.
MAX_PARAMETERS = 1 << 26
_FIR_2D = np.outer(arch.FIR, arch.FIR) / 64


@dataclass(frozen=True, eq=False)
class Generator:
    """One StyleGAN2 generator (skip architecture, no class label).

    ``channels[k]`` is the width at resolution 2**(k+2). ``params`` maps the names of a ``G_ema``
    state dict to read-only float32 arrays. ``conv_clamp`` bounds every layer's output (None: not),
    ``lr_multiplier`` scales the mapping network's weights. ``digest`` is the SHA-256, in hex, of
    everything here that moves a pixel; ``embedded`` says it is the package's own.
    """

    z_dim: int
    w_dim: int
    c_dim: int
    resolution: int
    channels: tuple[int, ...]
    mapping_layers: int
    conv_clamp: float | None
    lr_multiplier: float
    params: Mapping[str, np.ndarray]
    digest: str
    embedded: bool = False

    @property
    def num_ws(self) -> int:
        return arch.num_ws(self.resolution)

    @property
    def default_config(self) -> RenderConfig:
        """psi 1 for the embedded generator; HuRef's psi 0.5, cutoff 8 for a user's own."""
        return EMBEDDED_CONFIG if self.embedded else HUREF_CONFIG


def load_generator(path: str | Path | None = None) -> Generator:
    """Read a generator: ``.pkl`` (NVIDIA's releases, never executed) or ``.safetensors``.

    None is the generator that comes with the package. A generator without noise or resampling
    filters is accepted: it has none, respectively the standard ones.

    Raises InputError when the file is not such a generator, EnvironmentLacks when the package's own
    is missing.
    """
    if path is None:
        return _embedded()
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{file}: no such generator file")
    if file.suffix == ".safetensors":
        return _from_safetensors(file)
    if file.suffix == ".pkl":
        from huref_zk.render.nvidia import (
            read_nvidia_pickle,  # a verifier's own generator needs none
        )

        read = read_nvidia_pickle(file)
        return build_generator(
            read.params, conv_clamp=read.conv_clamp, lr_multiplier=read.lr_multiplier
        )
    raise InputError(f"{file}: a generator is a .pkl or .safetensors file")


@lru_cache(maxsize=1)
def _embedded() -> Generator:
    if not EMBEDDED_PATH.is_file():
        raise EnvironmentLacks(
            f"the embedded generator {EMBEDDED_PATH} is missing; reinstall the package"
            " or name one with --generator"
        )
    return _from_safetensors(EMBEDDED_PATH, embedded=True)


def _from_safetensors(file: Path, embedded: bool = False) -> Generator:
    """The metadata may hold ``conv_clamp`` (default none) and ``lr_multiplier`` (default 0.01)."""
    params, metadata = read_safetensors(file)
    clamp = metadata.get("conv_clamp", "none")
    return build_generator(
        params,
        conv_clamp=None if clamp == "none" else _number("conv_clamp", clamp),
        lr_multiplier=_number("lr_multiplier", metadata.get("lr_multiplier", "0.01")),
        embedded=embedded,
    )


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"generator metadata {name} is not a number: {text[:40]!r}") from None


def build_generator(
    params: Mapping[str, np.ndarray],
    conv_clamp: float | None = None,
    lr_multiplier: float = 0.01,
    embedded: bool = False,
) -> Generator:
    """Check ``params`` (names, shapes, float16/32, finite) and freeze them as a Generator.

    Raises InputError naming the parameter that is missing, unknown, misshapen or not finite.
    """
    for name, value in (("conv_clamp", conv_clamp), ("lr_multiplier", lr_multiplier)):
        if value is not None and not (math.isfinite(value) and 0 < value < 1e6):
            raise InputError(f"the generator's {name} is out of range: {value!r}")
    z_dim, w_dim, mapping_layers, channels = _dimensions(params)
    required, optional = arch.parameter_shapes(z_dim, w_dim, mapping_layers, channels)
    missing = sorted(required.keys() - params.keys())
    if missing:
        raise InputError(f"the generator lacks {missing[0]} (and {len(missing) - 1} more)")
    unknown = sorted(params.keys() - required.keys() - optional.keys())
    if unknown:
        raise InputError(
            f"the generator has parameter {unknown[0][:80]!r}, which a StyleGAN2 skip generator of"
            " this size has not"
        )
    shapes = required | optional
    frozen: dict[str, np.ndarray] = {}
    if sum(math.prod(shapes[name]) for name in params) > MAX_PARAMETERS:
        raise InputError(f"the generator has more than {MAX_PARAMETERS} values")
    for name in sorted(params):
        frozen[name] = _checked(name, params[name], shapes[name])
    for name in [n for n in frozen if n.endswith("resample_filter")]:
        if not np.allclose(frozen.pop(name), _FIR_2D, rtol=0, atol=1e-6):
            raise InputError(f"the generator's {name} is not the filter [1, 3, 3, 1]")
    for layer in arch.synthesis_layers(channels):
        _keep_noise_pair(frozen, layer)
    fields = {
        "z_dim": z_dim,
        "w_dim": w_dim,
        "c_dim": 0,
        "resolution": 2 ** (len(channels) + 1),
        "channels": list(channels),
        "mapping_layers": mapping_layers,
        "conv_clamp": None if conv_clamp is None else float(conv_clamp).hex(),
        "lr_multiplier": float(lr_multiplier).hex(),
    }
    return Generator(
        z_dim=z_dim,
        w_dim=w_dim,
        c_dim=0,
        resolution=2 ** (len(channels) + 1),
        channels=channels,
        mapping_layers=mapping_layers,
        conv_clamp=None if conv_clamp is None else float(conv_clamp),
        lr_multiplier=float(lr_multiplier),
        params=MappingProxyType(frozen),
        digest=_digest(fields, frozen),
        embedded=embedded,
    )


def _keep_noise_pair(frozen: dict[str, np.ndarray], layer: arch.Layer) -> None:
    """Drop noise of strength zero, so that storing it or not is the same generator."""
    strength, const = (f"{layer.name}.noise_{part}" for part in ("strength", "const"))
    if strength in frozen and float(frozen[strength]) != 0.0:
        if const not in frozen:
            raise InputError(f"the generator has {strength} but lacks {const}")
        return
    frozen.pop(strength, None)
    frozen.pop(const, None)


def _dimensions(params: Mapping[str, np.ndarray]) -> tuple[int, int, int, tuple[int, ...]]:
    """(z_dim, w_dim, mapping layers, channels), read from the names and leading shapes."""
    if "mapping.embed.weight" in params:
        raise InputError("the generator wants a class label (c_dim > 0): not supported")
    blocks = {int(m[1]) for n in params if (m := re.match(r"synthesis\.b(\d{1,5})\.", n))}
    fcs = {int(m[1]) for n in params if (m := re.match(r"mapping\.fc(\d{1,3})\.", n))}
    if not blocks or not fcs or "mapping.fc0.weight" not in params:
        raise InputError(
            "not a StyleGAN2 generator: it has no mapping.fc0.weight or no synthesis.b4, as a"
            " StyleGAN3 or another network would"
        )
    resolution = max(blocks)
    if resolution > arch.MAX_RESOLUTION or sorted(blocks) != arch.resolutions(resolution):
        raise InputError(
            f"the generator's blocks are {sorted(blocks)[:12]}; expected 4, 8, ... up to"
            f" at most {arch.MAX_RESOLUTION}"
        )
    if sorted(fcs) != list(range(len(fcs))) or len(fcs) > arch.MAX_MAPPING_LAYERS:
        raise InputError(f"the generator's mapping layers are {sorted(fcs)[:20]}; not 0, 1, ...")
    first = _shape(params, "mapping.fc0.weight", 2)
    channels = [
        _shape(params, f"synthesis.b{res}.conv1.weight", 4)[0]
        for res in arch.resolutions(resolution)
    ]
    widest = max(*first, *channels)
    if widest > arch.MAX_WIDTH or min(*first, *channels) < 1:
        raise InputError(f"the generator has a layer {widest} wide; at most {arch.MAX_WIDTH}")
    return first[1], first[0], len(fcs), tuple(channels)


def _shape(params: Mapping[str, np.ndarray], name: str, rank: int) -> tuple[int, ...]:
    if name not in params:
        raise InputError(f"the generator lacks parameter {name}")
    shape = tuple(params[name].shape)
    if len(shape) != rank:
        raise InputError(f"generator parameter {name} has shape {shape}; expected {rank} axes")
    return shape


def _checked(name: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """``value`` as a read-only C-ordered float32 array of ``shape``."""
    if tuple(value.shape) != shape:
        raise InputError(
            f"generator parameter {name} has shape {tuple(value.shape)}; expected {shape}"
        )
    if value.dtype not in (np.float16, np.float32):
        raise InputError(f"generator parameter {name} is {value.dtype}, not float16 or float32")
    if not np.isfinite(value).all():
        raise InputError(f"generator parameter {name} holds a value that is not finite")
    out = np.array(value, dtype=np.float32, order="C", copy=True)
    out.setflags(write=False)
    return out


def _digest(fields: dict[str, object], params: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of a header (sorted JSON) and then every value as little-endian float32.

    float16 files and float32 files of the same values have one digest; so have a release's pickle
    and a safetensors copy of it.
    """
    header = dict(fields, params=[[name, list(params[name].shape)] for name in sorted(params)])
    sha = hashlib.sha256(b"huref-zk generator 1\n")
    sha.update(json.dumps(header, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    for name in sorted(params):
        # + 0.0 turns -0.0 into 0.0: they are the same number, so the same generator.
        sha.update((params[name].astype("<f4") + np.float32(0.0)).tobytes())
    return sha.hexdigest()
