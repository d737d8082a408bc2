"""Do relatives look alike and strangers not? ``python -m benchmarks.telling``

Draws unrelated Gaussian vectors and, for each, relatives at given cosines; renders them with the
exact back end and measures picture distances two ways: mean CIEDE2000 of 16 x 16 thumbnails, and
1 - MS-SSIM. Both again as a protan, deutan and tritan sees them. Writes benchmarks/telling.json and
docs/images/telling.png. One thread is enough; about ten minutes.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np

from huref_zk.render import Generator, load_generator, metrics, render

ROOT = Path(__file__).resolve().parents[2]
COSINES = (0.999, 0.99, 0.95, 0.9)
PLOT_COSINES = (0.9999, 0.999, 0.99, 0.97, 0.95, 0.9, 0.8, 0.6, 0.4, 0.2, 0.0)
PLOT_BASES = 40
VISIONS = ("usual", *metrics.COLOUR_BLINDNESS)
METRICS = ("ciede2000", "1 - ms-ssim")
CANDIDATES = 18  # the paper's human task: the base among 17 unrelated pictures
TASKS_PER_BASE = {"ciede2000": 20, "1 - ms-ssim": 1}
SCALE = 1 << 20  # vectors are integers


def relative(rng: np.random.Generator, u: np.ndarray, cosine: float) -> np.ndarray:
    """A vector of u's length at exactly this cosine, otherwise random."""
    noise = rng.standard_normal(len(u))
    noise -= u * (noise @ u) / (u @ u)
    noise *= np.linalg.norm(u) / np.linalg.norm(noise)
    return cosine * u + np.sqrt(1 - cosine**2) * noise


def draw(generator: Generator, vector: np.ndarray) -> np.ndarray:
    return render([int(x) for x in np.rint(vector * SCALE)], generator)


class Views:
    """Pictures as one kind of eye sees them, ready to compare by either metric."""

    def __init__(self, pictures: list[np.ndarray], vision: str):
        seen = [p if vision == "usual" else metrics.simulate(p, vision) for p in pictures]
        self.pictures = seen
        self.thumbnails = np.stack([metrics.thumbnail(p) for p in seen])

    def distances(self, metric: str, other: Views, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Distances of self[i[k]] and other[j[k]]."""
        if metric == "ciede2000":
            parts = [slice(k, k + 256) for k in range(0, len(i), 256)]
            return np.concatenate(
                [
                    metrics.thumbnail_difference(self.thumbnails[i[p]], other.thumbnails[j[p]])
                    for p in parts
                ]
            )
        pairs = zip(i.tolist(), j.tolist(), strict=True)
        return np.array(
            [1 - metrics.ms_ssim(self.pictures[a], other.pictures[b]) for a, b in pairs]
        )


def auc(near: np.ndarray, far: np.ndarray) -> float:
    """Chance that a relative's distance is below a stranger's, ties counting half."""
    ordered = np.sort(far)
    below = np.searchsorted(ordered, near, "left")
    tied = np.searchsorted(ordered, near, "right") - below
    return float(1 - (below + tied / 2).mean() / len(far))


def percentiles(values: np.ndarray) -> dict[str, float]:
    names = {"min": 0, "p5": 5, "median": 50, "p95": 95, "max": 100}
    return {name: round(float(np.percentile(values, p)), 4) for name, p in names.items()}


def measure(
    base: Views, relatives: dict[float, Views], metric: str, pairs: int, seed: int
) -> dict[str, object]:
    """Every figure for one metric and one kind of eye."""
    count = len(base.pictures)
    rng = np.random.default_rng(seed)
    same = np.arange(count)
    i, j = np.triu_indices(count, 1)
    if len(i) > pairs:
        chosen = rng.choice(len(i), pairs, replace=False)
        i, j = i[chosen], j[chosen]
    strangers = base.distances(metric, base, i, j)
    kin = {c: base.distances(metric, view, same, same) for c, view in relatives.items()}

    right = total = 0
    for offspring in range(count):
        others = np.delete(same, offspring)
        for _ in range(TASKS_PER_BASE[metric]):
            shown = np.append(rng.choice(others, CANDIDATES - 1, replace=False), offspring)
            d = relatives[0.95].distances(metric, base, np.full(CANDIDATES, offspring), shown)
            right += bool(d[-1] < d[:-1].min())
            total += 1
    close = np.concatenate([d for c, d in kin.items() if c >= 0.95])
    return {
        "unrelated": percentiles(strangers) | {"pairs": len(strangers)},
        "relatives": {str(c): percentiles(d) for c, d in kin.items()},
        "auc of relatives at 0.95 and above": round(auc(close, strangers), 6),
        "smallest unrelated over p95 at 0.99": round(
            float(strangers.min() / np.percentile(kin[0.99], 95)), 4
        ),
        "base found among 18": round(right / total, 4),
        "tasks": total,
    }


def distance_by_angle(
    generator: Generator, vectors: np.ndarray, pictures: list[np.ndarray], seed: int
) -> dict[str, list]:
    """Percentiles of both distances at each of PLOT_COSINES."""
    rng = np.random.default_rng(seed)
    base = Views(pictures[:PLOT_BASES], "usual")
    same = np.arange(len(base.pictures))
    rows: dict[str, list] = {"cosine": list(PLOT_COSINES)} | {metric: [] for metric in METRICS}
    for cosine in PLOT_COSINES:
        kin = [draw(generator, relative(rng, u, cosine)) for u in vectors[: len(same)]]
        view = Views(kin, "usual")
        for metric in METRICS:
            rows[metric].append(percentiles(base.distances(metric, view, same, same)))
    return rows


def plot(rows: dict[str, list], results: dict, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    angles = np.degrees(np.arccos(np.array(rows["cosine"])))
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
    labels = ("mean CIEDE2000 of thumbnails", "1 - MS-SSIM")
    for axis, metric, label in zip(axes, METRICS, labels, strict=True):
        low, middle, high = ([row[p] for row in rows[metric]] for p in ("p5", "median", "p95"))
        axis.fill_between(angles, low, high, alpha=0.25, label="5th to 95th percentile")
        axis.plot(angles, middle, marker="o", label="median")
        smallest = results["usual"][metric]["unrelated"]["min"]
        axis.axhline(smallest, color="firebrick", ls="--", label="closest unrelated pair")
        axis.set(xlabel="angle between the vectors, degrees", ylabel=label, ylim=(0, None))
        axis.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description="Do relatives look alike and strangers not?")
    parser.add_argument("--generator", type=Path, help="default: the embedded one")
    parser.add_argument("--count", type=int, default=200, help="unrelated vectors")
    parser.add_argument("--pairs", type=int, default=4000, help="unrelated pairs for MS-SSIM")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "telling.json")
    parser.add_argument("--plot", type=Path, default=ROOT / "docs" / "images" / "telling.png")
    options = parser.parse_args()

    start = time.monotonic()
    generator = load_generator(options.generator)
    rng = np.random.default_rng(options.seed)
    vectors = rng.standard_normal((options.count, generator.z_dim))
    print(f"drawing {options.count * (1 + len(COSINES))} pictures", flush=True)
    pictures = [draw(generator, u) for u in vectors]
    kin = {c: [draw(generator, relative(rng, u, c)) for u in vectors] for c in COSINES}
    results: dict[str, dict] = {}
    for vision in VISIONS:
        base = Views(pictures, vision)
        relatives = {c: Views(drawn, vision) for c, drawn in kin.items()}
        results[vision] = {}
        for metric in METRICS:
            pairs = options.pairs if metric != "ciede2000" else options.count**2
            found = measure(base, relatives, metric, pairs, options.seed)
            results[vision][metric] = found
            print(vision, metric, json.dumps(found), flush=True)
    rows = distance_by_angle(generator, vectors, pictures, options.seed)
    report = {
        "generator": generator.digest,
        "config": generator.default_config.describe(),
        "unrelated vectors": options.count,
        "seed": options.seed,
        "results": results,
        "distance by angle": rows,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "seconds": round(time.monotonic() - start),
    }
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    plot(rows, results, options.plot)


if __name__ == "__main__":
    main()
