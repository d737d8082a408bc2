"""How different two pictures look, in numbers, to usual eyes and to colour-blind ones."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from huref_zk.errors import InputError

THUMBNAIL_SIDE = 16

# sRGB (IEC 61966-2-1) to CIE XYZ, D65, and the D65 white of the 2 degree observer.
_XYZ_OF_RGB = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_WHITE = _XYZ_OF_RGB.sum(axis=1)

# Machado, Oliveira and Fernandes 2009 (IEEE TVCG 15(6)), severity 1.0, on linear RGB.
COLOUR_BLINDNESS = {
    "protan": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deutan": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritan": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}

# Wang, Simoncelli and Bovik 2003: weights of the scales, finest first.
_SSIM_WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
_SSIM_WINDOW = 11
_SSIM_SIGMA = 1.5


def linear_rgb(image: np.ndarray) -> np.ndarray:
    """Linear-light RGB in [0, 1], float64 (..., 3), of uint8 sRGB (..., 3)."""
    s = image.astype(np.float64) / 255
    return np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)


def lab(linear: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) of linear-light RGB (..., 3)."""
    t = linear @ _XYZ_OF_RGB.T / _WHITE
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def simulate(image: np.ndarray, kind: str) -> np.ndarray:
    """``image`` (uint8 sRGB (..., 3)) as a ``protan``, ``deutan`` or ``tritan`` sees it, uint8."""
    if kind not in COLOUR_BLINDNESS:
        raise InputError(f"{kind!r} is none of {', '.join(COLOUR_BLINDNESS)}")
    linear = np.clip(linear_rgb(image) @ COLOUR_BLINDNESS[kind].T, 0, 1)
    srgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(srgb * 255).astype(np.uint8)


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Lab (16, 16, 3) of a square uint8 image: light averaged over boxes, then converted."""
    side = image.shape[0]
    if image.shape != (side, side, 3) or side % THUMBNAIL_SIDE:
        raise InputError(f"a thumbnail needs a square image of 16 k pixels, not {image.shape}")
    box = side // THUMBNAIL_SIDE
    boxes = linear_rgb(image).reshape(THUMBNAIL_SIDE, box, THUMBNAIL_SIDE, box, 3)
    return lab(boxes.mean(axis=(1, 3)))


def thumbnail_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean CIEDE2000 over the pixels of thumbnails (..., 16, 16, 3): shape (...)."""
    return ciede2000(a, b).mean(axis=(-2, -1))


def ciede2000(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """CIEDE2000 of Lab colours (..., 3), kL = kC = kH = 1 (Sharma, Wu and Dalal 2005, eq. 2-22)."""
    l1, a1, b1 = np.moveaxis(np.asarray(first, np.float64), -1, 0)
    l2, a2, b2 = np.moveaxis(np.asarray(second, np.float64), -1, 0)
    c_bar7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    stretch = 1.5 - 0.5 * np.sqrt(c_bar7 / (c_bar7 + 25.0**7))
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    # np.arctan2(0, 0) is 0, the hue the formula gives to greys.
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360

    grey = c1 * c2 == 0
    dh = h2 - h1
    dh = np.where(grey, 0, dh - 360 * (dh > 180) + 360 * (dh < -180))
    d_l, d_c = l2 - l1, c2 - c1
    d_h = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(dh) / 2)

    l_bar, c_bar = (l1 + l2) / 2, (c1 + c2) / 2
    h_sum = h1 + h2
    far = np.abs(h1 - h2) > 180
    h_bar = np.where(far, h_sum + np.where(h_sum < 360, 360, -360), h_sum) / 2
    h_bar = np.where(grey, h_sum, h_bar)

    def cosine(degrees: np.ndarray) -> np.ndarray:
        return np.cos(np.radians(degrees))

    t = 1 - 0.17 * cosine(h_bar - 30) + 0.24 * cosine(2 * h_bar)
    t = t + 0.32 * cosine(3 * h_bar + 6) - 0.20 * cosine(4 * h_bar - 63)
    s_l = 1 + 0.015 * (l_bar - 50) ** 2 / np.sqrt(20 + (l_bar - 50) ** 2)
    s_c = 1 + 0.045 * c_bar
    s_h = 1 + 0.015 * c_bar * t
    rotation = np.sin(np.radians(60 * np.exp(-(((h_bar - 275) / 25) ** 2))))
    r_t = -2 * np.sqrt(c_bar**7 / (c_bar**7 + 25.0**7)) * rotation
    l_term, c_term, h_term = d_l / s_l, d_c / s_c, d_h / s_h
    return np.sqrt(l_term**2 + c_term**2 + h_term**2 + r_t * c_term * h_term)


def ms_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """MS-SSIM of two uint8 images of one size (Wang, Simoncelli and Bovik 2003), on luma.

    The paper's five scales need 176 pixels a side; smaller images use the scales whose side holds
    the 11-pixel window, their weights rescaled to sum 1. Negative terms count as 0.
    """
    if a.shape != b.shape:
        raise InputError(f"MS-SSIM needs images of one size, not {a.shape} and {b.shape}")
    x, y = _luma(a), _luma(b)
    scales = sum(min(x.shape) >> k >= _SSIM_WINDOW for k in range(len(_SSIM_WEIGHTS)))
    if scales == 0:
        raise InputError(f"MS-SSIM needs images of at least {_SSIM_WINDOW} pixels a side")
    weights = _SSIM_WEIGHTS[:scales] / _SSIM_WEIGHTS[:scales].sum()
    result = 1.0
    for k, weight in enumerate(weights):
        luminance, structure = _ssim_terms(x, y)
        term = (luminance * structure).mean() if k == scales - 1 else structure.mean()
        result *= max(float(term), 0.0) ** float(weight)
        x, y = _halved(x), _halved(y)
    return result


def _luma(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float64) @ np.array([0.299, 0.587, 0.114])


def _ssim_terms(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(luminance, contrast times structure) wherever the window fits."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mx, my = _blur(x), _blur(y)
    vx, vy = _blur(x * x) - mx * mx, _blur(y * y) - my * my
    cov = _blur(x * y) - mx * my
    return (2 * mx * my + c1) / (mx * mx + my * my + c1), (2 * cov + c2) / (vx + vy + c2)


def _blur(x: np.ndarray) -> np.ndarray:
    """Gaussian window, valid part only."""
    return _window_matrix(x.shape[0]) @ x @ _window_matrix(x.shape[1]).T


@lru_cache(maxsize=16)
def _window_matrix(length: int) -> np.ndarray:
    """(length - 10, length): row i averages entries i to i + 10."""
    offsets = np.arange(_SSIM_WINDOW) - _SSIM_WINDOW // 2
    window = np.exp(-(offsets**2) / (2 * _SSIM_SIGMA**2))
    matrix = np.zeros((length - _SSIM_WINDOW + 1, length))
    for k, weight in enumerate(window / window.sum()):
        np.fill_diagonal(matrix[:, k:], weight)
    return matrix


def _halved(x: np.ndarray) -> np.ndarray:
    h, w = x.shape[0] // 2 * 2, x.shape[1] // 2 * 2
    return (x[0:h:2, 0:w:2] + x[1:h:2, 0:w:2] + x[0:h:2, 1:w:2] + x[1:h:2, 1:w:2]) / 4
