"""The public choices of rendering: they are part of the fingerprint's descriptor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from huref_zk.errors import InputError

# Bump when the exact back end would give other pixels for the same generator and vector.
ARITHMETIC_VERSION = 1


@dataclass(frozen=True)
class RenderConfig:
    """How w is truncated and whether noise is added.

    ``psi_percent``: truncation psi in percent, 0..100 (an integer, so that the descriptor holds no
    floating-point number). ``cutoff``: how many copies of w are truncated; None means all.
    ``noise``: ``const`` (the generator's own noise images) or ``none``.
    """

    psi_percent: int = 100
    cutoff: int | None = None
    noise: str = "const"

    def __post_init__(self) -> None:
        psi, cutoff = self.psi_percent, self.cutoff
        if type(psi) is not int or not 0 <= psi <= 100:
            raise InputError(f"truncation psi must be 0 to 100 percent, not {psi!r}")
        if cutoff is not None and (type(cutoff) is not int or not 0 <= cutoff <= 64):
            raise InputError(f"truncation cutoff must be 0 to 64 or absent, not {cutoff!r}")
        if self.noise not in ("const", "none"):
            raise InputError(f"noise must be 'const' or 'none', not {self.noise!r}")

    @property
    def psi(self) -> float:
        """psi as a float64: the correctly rounded quotient, the same everywhere."""
        return self.psi_percent / 100

    def describe(self) -> dict[str, Any]:
        """The fields a descriptor must carry beside the generator's digest."""
        return {
            "arithmetic": ARITHMETIC_VERSION,
            "psi_percent": self.psi_percent,
            "cutoff": self.cutoff,
            "noise": self.noise,
        }


EMBEDDED_CONFIG = RenderConfig()
# HuRef's own setting for NVIDIA's generators.
HUREF_CONFIG = RenderConfig(psi_percent=50, cutoff=8)
