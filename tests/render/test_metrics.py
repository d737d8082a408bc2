from __future__ import annotations

import numpy as np
import pytest

from huref_zk.errors import InputError
from huref_zk.render import metrics

# Sharma, Wu and Dalal 2005, table 1: L1 a1 b1, L2 a2 b2, CIEDE2000.
SHARMA = """
50.0000 2.6772 -79.7751 50.0000 0.0000 -82.7485 2.0425
50.0000 3.1571 -77.2803 50.0000 0.0000 -82.7485 2.8615
50.0000 2.8361 -74.0200 50.0000 0.0000 -82.7485 3.4412
50.0000 -1.3802 -84.2814 50.0000 0.0000 -82.7485 1.0000
50.0000 -1.1848 -84.8006 50.0000 0.0000 -82.7485 1.0000
50.0000 -0.9009 -85.5211 50.0000 0.0000 -82.7485 1.0000
50.0000 0.0000 0.0000 50.0000 -1.0000 2.0000 2.3669
50.0000 -1.0000 2.0000 50.0000 0.0000 0.0000 2.3669
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0009 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0010 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0011 7.2195
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0012 7.2195
50.0000 -0.0010 2.4900 50.0000 0.0009 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0010 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0011 -2.4900 4.7461
50.0000 2.5000 0.0000 50.0000 0.0000 -2.5000 4.3065
50.0000 2.5000 0.0000 73.0000 25.0000 -18.0000 27.1492
50.0000 2.5000 0.0000 61.0000 -5.0000 29.0000 22.8977
50.0000 2.5000 0.0000 56.0000 -27.0000 -3.0000 31.9030
50.0000 2.5000 0.0000 58.0000 24.0000 15.0000 19.4535
50.0000 2.5000 0.0000 50.0000 3.1736 0.5854 1.0000
50.0000 2.5000 0.0000 50.0000 3.2972 0.0000 1.0000
50.0000 2.5000 0.0000 50.0000 1.8634 0.5757 1.0000
50.0000 2.5000 0.0000 50.0000 3.2592 0.3350 1.0000
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""


def test_ciede2000_on_the_published_pairs() -> None:
    table = np.array([line.split() for line in SHARMA.split("\n") if line], dtype=np.float64)
    assert table.shape == (34, 7)
    first, second, expected = table[:, :3], table[:, 3:6], table[:, 6]
    assert np.abs(metrics.ciede2000(first, second) - expected).max() < 0.5001e-4
    assert np.abs(metrics.ciede2000(second, first) - expected).max() < 0.5001e-4
    assert np.abs(metrics.ciede2000(first, first)).max() == 0


def test_lab_of_known_colours() -> None:
    colours = np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]])
    known = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [87.73, -86.18, 83.18]]
    known.append([32.30, 79.19, -107.86])
    got = metrics.lab(metrics.linear_rgb(colours.astype(np.uint8)))
    assert np.abs(got - known).max() < 0.02


def picture(seed: int) -> np.ndarray:
    """128 x 128 with structure at several scales."""
    rng = np.random.default_rng(seed)
    image = np.zeros((128, 128, 3))
    for side in (4, 16, 64):
        image += np.kron(rng.uniform(0, 80, (side, side, 3)), np.ones((128 // side,) * 2 + (1,)))
    return image.astype(np.uint8)


def test_thumbnail_averages_light() -> None:
    flat = np.full((128, 128, 3), 77, np.uint8)
    expected = metrics.lab(metrics.linear_rgb(flat[:1, :1]))
    assert np.allclose(metrics.thumbnail(flat), expected)
    checked = np.zeros((128, 128, 3), np.uint8)
    checked[::2, ::2] = checked[1::2, 1::2] = 255
    assert np.allclose(metrics.thumbnail(checked)[..., 0], 76.069, atol=1e-2)  # L* of half light
    with pytest.raises(InputError, match="16 k"):
        metrics.thumbnail(flat[:100, :100])


def test_distances_grow_with_disturbance() -> None:
    base = picture(0)
    noise = np.random.default_rng(1).standard_normal(base.shape)
    disturbed = [np.clip(base + scale * noise, 0, 255).astype(np.uint8) for scale in (0, 5, 20, 60)]
    similarity = [metrics.ms_ssim(base, other) for other in disturbed]
    assert similarity[0] == pytest.approx(1.0)
    assert similarity == sorted(similarity, reverse=True) and similarity[1] > 0.9
    assert metrics.ms_ssim(base, picture(9)) < 0.5
    thumbnails = [metrics.thumbnail(image) for image in (base, disturbed[2], picture(9))]
    near, far = (float(metrics.thumbnail_difference(thumbnails[0], t)) for t in thumbnails[1:])
    assert 0 < near < 3 < 8 < far


def test_ms_ssim_is_symmetric_and_bounded() -> None:
    a, b = picture(1), picture(2)
    assert metrics.ms_ssim(a, b) == pytest.approx(metrics.ms_ssim(b, a))
    assert metrics.ms_ssim(a, 255 - a) < 0.2
    with pytest.raises(InputError, match="one size"):
        metrics.ms_ssim(a, b[:64])
    with pytest.raises(InputError, match="11 pixels"):
        metrics.ms_ssim(a[:8, :8], b[:8, :8])


def test_ssim_of_two_flat_images_by_hand() -> None:
    """No structure: only the luminance term of the coarsest scale is left, to its weight."""
    a, b = (np.full((16, 16, 3), level, np.uint8) for level in (100, 150))
    c1 = 2.55**2
    expected = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
    assert metrics.ms_ssim(a, b) == pytest.approx(expected)


@pytest.mark.parametrize("kind", metrics.COLOUR_BLINDNESS)
def test_colour_blindness_keeps_greys_and_merges_its_own_colours(kind: str) -> None:
    greys = np.arange(256, dtype=np.uint8)[:, None].repeat(3, 1)
    assert np.abs(metrics.simulate(greys, kind).astype(int) - greys).max() <= 1
    confused = {"protan": (0, 1), "deutan": (0, 1), "tritan": (1, 2)}[kind]
    pair = np.full((2, 3), 110, np.uint8)
    pair[0, confused[0]], pair[1, confused[1]] = 140, 140
    usual = metrics.lab(metrics.linear_rgb(pair))
    seen = metrics.lab(metrics.linear_rgb(metrics.simulate(pair, kind)))
    assert metrics.ciede2000(*seen) < 0.7 * metrics.ciede2000(*usual)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match="protan"):
        metrics.simulate(picture(0), "quadran")
