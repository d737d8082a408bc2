"""How good is the encoder? ``python -m benchmarks.encoder``

On synthetic sketches it was not trained on: the cosine of v between strangers, how Gaussian v is,
and how cos(v, v') follows the ICS of two sketches. Writes benchmarks/encoder.json and
docs/images/encoder_cosine.png.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from huref_zk.invariants.encoder import V_LENGTH, Encoder, encode_float, load_encoder
from research.training.encoder import relatives, sketches

ROOT = Path(__file__).resolve().parents[2]
COUNT = 2048
SEED = 99
BINS = np.linspace(0.0, 1.0, 11)


def units(encoder: Encoder, maps: torch.Tensor) -> np.ndarray:
    """v / |v| for maps (B, 6, 16, 16): float64 (B, 512)."""
    v = np.stack([encode_float(encoder, m) for m in maps.double().numpy()])
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def measure(encoder: Encoder, count: int = COUNT) -> tuple[dict, np.ndarray, np.ndarray]:
    """(figures, ICS of each pair of relatives, its cosine)."""
    draw = torch.Generator().manual_seed(SEED)
    maps = sketches(count, draw)
    near, kinship = relatives(maps, draw)
    u, w = units(encoder, maps), units(encoder, near)
    strangers = np.abs((u @ u.T)[np.triu_indices(count, 1)])
    z = u * np.sqrt(V_LENGTH)
    noise = np.random.default_rng(SEED).standard_normal(z.shape)
    kin, cosine = kinship.numpy(), (u * w).sum(axis=1)

    def ks(rows: np.ndarray) -> float:
        return float(np.mean([stats.kstest(row, "norm").statistic for row in rows]))

    bins = np.digitize(kin, BINS[1:-1])
    figures = {
        "encoder": encoder.digest,
        "strangers": {
            "pairs": len(strangers),
            "mean_abs_cosine": float(strangers.mean()),
            "max_abs_cosine": float(strangers.max()),
            "mean_abs_cosine_of_gaussian_vectors": float(np.sqrt(2 / np.pi / V_LENGTH)),
        },
        "gaussian": {
            "ks_of_all_entries": float(stats.kstest(z.ravel(), "norm").statistic),
            "mean_ks_of_a_vector": ks(z),
            "mean_ks_of_a_gaussian_vector": ks(noise),
            "mean_ks_of_a_coordinate": ks(z.T),
            "mean_ks_of_a_gaussian_coordinate": ks(noise.T),
            "excess_kurtosis": float(stats.kurtosis(z.ravel())),
        },
        "relatives": {
            "spearman": float(stats.spearmanr(kin, cosine).statistic),
            "mean_cosine_by_ics_tenth": [
                round(float(cosine[bins == b].mean()), 4) for b in range(len(BINS) - 1)
            ],
        },
    }
    return figures, kin, cosine


def main() -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figures, kin, cosine = measure(load_encoder())
    (ROOT / "benchmarks" / "encoder.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))
    figure, axes = plt.subplots(figsize=(5, 4), layout="constrained")
    axes.plot([0, 1], [0, 1], color="0.8", linewidth=1)
    axes.scatter(kin, cosine, s=4, alpha=0.4, label="relatives")
    middles = (BINS[1:] + BINS[:-1]) / 2
    axes.plot(middles, figures["relatives"]["mean_cosine_by_ics_tenth"], "k.-", label="mean")
    axes.set(xlabel="ICS of the two sketches", ylabel="cosine of the two fingerprint vectors")
    axes.legend()
    figure.savefig(ROOT / "docs" / "images" / "encoder_cosine.png", dpi=110)


if __name__ == "__main__":
    main()
