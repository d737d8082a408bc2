"""Drawings of the report: maps and nulls as SVG, pictures as inline PNG. Text is escaped."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from html import escape
from io import BytesIO

import numpy as np
from PIL import Image

from huref_zk.comparison.null import Null

MAX_CELLS = 128
"""Layers drawn each way; of more, blocks of layers share a cell."""
# Blue, white, orange: told apart with every common colour blindness, and by lightness from white.
_PLUS, _MINUS = (33, 102, 172), (179, 88, 6)
_WIDTH, _HEIGHT = 660, 190


def data_uri(picture: np.ndarray) -> str:
    """A uint8 (H, W, 3) picture as a PNG in a data: address."""
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def heat_map(values: np.ndarray, matched: Sequence[tuple[int, int]], title: str, width: int) -> str:
    """SVG of ICS (n, m): rows are the layers of A, columns those of B, matched ones are framed.

    Numbers stand in the cells where they fit; every cell tells its own on hovering.
    """
    step = math.ceil(max(values.shape) / MAX_CELLS)
    cells = _blocks(values, step)
    n, m = cells.shape
    size = max(4, min(44, width // m))
    left, top = 34, 32
    parts = [
        _svg(left + m * size + 2, top + n * size + 2, title),
        f'<text x="{left}" y="12" class="axis">layers of B →</text>',
        f'<text x="2" y="{top - 6}" class="axis">A ↓</text>',
    ]
    for i, j in np.ndindex(n, m):
        value = round(float(cells[i, j]), 3) + 0.0  # no -0
        x, y = left + j * size, top + i * size
        label = f"A {_layers(i, step)}, B {_layers(j, step)}: {value:.3f}"
        parts.append(
            f'<rect x="{x}" y="{y}" width="{size}" height="{size}" fill="{colour(value)}">'
            f"<title>{label}</title></rect>"
        )
        if size >= 32:
            ink, short = "#fff" if abs(value) > 0.6 else "#000", round(value, 2) + 0.0
            parts.append(
                f'<text x="{x + size / 2:.0f}" y="{y + size / 2 + 4:.0f}" class="cell" '
                f'fill="{ink}">{short:.2f}</text>'
            )
    for i, j in sorted({(i // step, j // step) for i, j in matched}):
        parts.append(
            f'<rect x="{left + j * size}" y="{top + i * size}" width="{size}" height="{size}" '
            'class="frame"/>'
        )
    parts += _numbers(n, m, left, top, size, step)
    return "".join([*parts, "</svg>"])


def _numbers(n: int, m: int, left: int, top: int, size: int, step: int) -> list[str]:
    """The layers' numbers beside n rows and above m columns of cells of ``size``, as many as there
    is room for; a cell stands for ``step`` layers."""
    every = math.ceil(18 / size)
    rows = [
        f'<text x="{left - 4}" y="{top + i * size + size / 2 + 4:.0f}" class="number">'
        f"{i * step}</text>"
        for i in range(0, n, every)
    ]
    columns = [
        f'<text x="{left + j * size + size / 2:.0f}" y="{top - 6}" class="cell">{j * step}</text>'
        for j in range(0, m, every)
    ]
    return rows + columns


def parts_map(shares: np.ndarray, title: str, width: int) -> str:
    """SVG of where B's parts come from: rows are the layers of B, columns those of A, and one more
    for what comes from none. shares (n_b, n_a): of each layer of B the share of its parts whose
    partner is in each of A's.

    Cells that fit hold per cent; every cell that is not empty tells its own on hovering. Where
    layers are many, a cell stands for several of either model: the mean of B's, the sum of A's.
    """
    step = math.ceil(max(shares.shape) / MAX_CELLS)
    cells = _summed(shares, step)
    n, m = cells.shape
    size = max(5, min(40, width // (m + 2)))
    left, top = 34, 32
    beyond = left + m * size + size // 2
    parts = [
        _svg(beyond + max(size, 28) + 2, top + n * size + 2, title),
        f'<text x="{left}" y="12" class="axis">layers of A →</text>',
        f'<text x="2" y="{top - 6}" class="axis">B ↓</text>',
        f'<text x="{beyond}" y="{top - 6}" class="axis">new</text>',
        f'<rect x="{left}" y="{top}" width="{m * size}" height="{n * size}" fill="#fff" '
        'stroke="#999"/>',
    ]
    for j in range(n):
        y = top + j * size
        of_b = f"B {_layers(j, step)}"
        for i in range(m):
            if (share := float(cells[j, i])) >= 0.0005:
                label = f"{of_b} from A {_layers(i, step)}"
                parts.append(_share(left + i * size, y, size, share, label, _PLUS))
        new = max(0.0, 1 - float(cells[j].sum()))
        parts.append(_share(beyond, y, size, new, f"{of_b} from no layer of A", _MINUS))
    parts += _numbers(n, m, left, top, size, step)
    return "".join([*parts, "</svg>"])


def _share(x: int, y: int, size: int, share: float, label: str, end: tuple[int, ...]) -> str:
    """A cell of parts_map."""
    cell = (
        f'<rect x="{x}" y="{y}" width="{size}" height="{size}" fill="{_towards(end, share)}">'
        f"<title>{label}: {100 * share:.1f} %</title></rect>"
    )
    if size < 26 or share < 0.005:
        return cell
    ink = "#fff" if share > 0.6 else "#000"
    return cell + (
        f'<text x="{x + size / 2:.0f}" y="{y + size / 2 + 4:.0f}" class="cell" fill="{ink}">'
        f"{100 * share:.0f}</text>"
    )


def _summed(shares: np.ndarray, step: int) -> np.ndarray:
    """Blocks of step x step layers: the mean over B's of the sum over A's."""
    by_a = [shares[:, i : i + step].sum(axis=1) for i in range(0, shares.shape[1], step)]
    wide = np.stack(by_a, axis=1)
    return np.stack([wide[j : j + step].mean(axis=0) for j in range(0, len(wide), step)])


def colour(value: float) -> str:
    """The colour of an ICS: white at 0, blue at 1, orange at -1."""
    return _towards(_PLUS if value > 0 else _MINUS, min(1.0, abs(value)))


def _towards(end: tuple[int, ...], share: float) -> str:
    """From white at 0 to the colour ``end`` at 1."""
    return "#" + "".join(f"{round(255 + (c - 255) * share):02x}" for c in end)


def scale() -> str:
    """SVG of the colours with their numbers."""
    steps = [i / 10 for i in range(-10, 11)]
    parts = [_svg(21 * 20, 32, "colours of ICS from -1 to 1")]
    for i, value in enumerate(steps):
        parts.append(f'<rect x="{i * 20}" width="20" height="14" fill="{colour(value)}"/>')
        if i % 5 == 0:
            parts.append(f'<text x="{i * 20 + 10}" y="28" class="cell">{value:g}</text>')
    return "".join([*parts, "</svg>"])


def null_plot(
    score: float, null: Null, measured: Sequence[float], threshold: float | None, title: str
) -> str:
    """SVG of a fitted null (a curve), what it was fitted to (ticks below), and the score."""
    points = [score, *measured, null.mean - 5 * null.sd, null.mean + 5 * null.sd]
    points += [] if threshold is None else [threshold]
    low, high = min(points), max(points)
    margin = 0.04 * (high - low) or 1.0
    low, high = low - margin, high + margin
    base = _HEIGHT - 34

    def x(value: float) -> float:
        return (value - low) / (high - low) * _WIDTH

    # Dense where the curve is, however far away the score may be.
    at = np.sort([*np.linspace(low, high, 200), *np.linspace(*_around(null), 200)])
    curve = [_density(null, float(value)) for value in at]
    top = max(curve)
    line = " ".join(
        f"{x(float(v)):.1f},{base - 100 * y / top:.1f}" for v, y in zip(at, curve, strict=True)
    )
    parts = [_svg(_WIDTH, _HEIGHT, title), f'<polyline points="{line}" class="curve"/>']
    parts.append(f'<line x1="0" y1="{base}" x2="{_WIDTH}" y2="{base}" class="rule"/>')
    for value in measured:
        parts.append(f'<line x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{base}" y2="{base + 7}"/>')
    for value in _ticks(low, high):
        parts.append(
            f'<text x="{x(value):.1f}" y="{_HEIGHT - 6}" class="cell">{value:.4g}</text>'
            f'<line x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{base}" y2="{base + 4}"/>'
        )
    parts.append(_mark(x(score), base, 14, f"here {score:.3g}", "score"))
    if threshold is not None:
        parts.append(_mark(x(threshold), base, 32, f"related from {threshold:.3g}", "threshold"))
    return "".join([*parts, "</svg>"])


def _mark(x: float, base: int, y: int, label: str, kind: str) -> str:
    side = ("start", 4) if x < _WIDTH / 2 else ("end", -4)
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y - 10}" y2="{base}" class="{kind}"/>'
        f'<text x="{x + side[1]:.1f}" y="{y}" text-anchor="{side[0]}" class="{kind}">'
        f"{escape(label)}</text>"
    )


def _around(null: Null) -> tuple[float, float]:
    return null.mean - 5 * null.sd, null.mean + 5 * null.sd


def _density(null: Null, value: float) -> float:
    return float(null.law().pdf(value))


def _ticks(low: float, high: float) -> list[float]:
    steps = (digit * 10.0**e for e in range(-8, 9) for digit in (1, 2, 5))
    step = next(s for s in steps if (high - low) / s <= 8)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _blocks(values: np.ndarray, step: int) -> np.ndarray:
    """One value a step x step block of layers: the one furthest from 0."""
    n, m = values.shape
    padded = np.zeros((-(-n // step) * step, -(-m // step) * step))
    padded[:n, :m] = values
    blocks = padded.reshape(padded.shape[0] // step, step, -1, step).swapaxes(1, 2)
    flat = blocks.reshape(*blocks.shape[:2], step * step)
    furthest = np.abs(flat).argmax(axis=2)[..., None]
    return np.take_along_axis(flat, furthest, axis=2)[..., 0]


def _layers(i: int, step: int) -> str:
    return str(i) if step == 1 else f"{i * step}-{(i + 1) * step - 1}"


def _svg(width: int, height: int, title: str) -> str:
    words = escape(title)
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{words}"><title>{words}</title>'
    )
