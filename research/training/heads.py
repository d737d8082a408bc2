"""A procedural renderer of shaded animal portraits: what the embedded generator is trained on.

A portrait is a smooth function of ``N_FACTORS`` numbers, each meant to be standard normal and each
clearly visible: five colours (two of the background, two of the coat, one of the sweater, with its
stripes), eyes, nose, and the shapes of head, ears, muzzle, horns, body and markings. Every edge is
antialiased from the implicit function that defines it, so nothing jumps when a factor moves a
little. All ours: no photograph and no other model took part.

Coordinates run over [-1, 1] in both axes, y downwards; H = W = size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Names say what a factor does; the order is that of the rows of the projection (see factors_of).
COLOUR_FACTORS = (
    "sky_light", "sky_a", "sky_b",
    "ground_light", "ground_a", "ground_b",
    "coat_light", "coat_a", "coat_b",
    "mark_light", "mark_a", "mark_b",
    "sweater_light", "sweater_a", "sweater_b",
    "stripe_light", "stripe_a", "stripe_b",
    "iris_a", "iris_b",
    "nose_tone",
)  # fmt: skip
SHAPE_FACTORS = (
    "head_width", "head_height", "jaw_taper", "cheek_fluff",
    "ear_length", "ear_width", "ear_point", "ear_angle", "ear_spread",
    "muzzle_width", "muzzle_height", "nose_size", "smile",
    "eye_size", "eye_gap", "eye_height", "eye_lid", "pupil",
    "mask_size", "blaze_width", "tabby",
    "horns",
    "ground_slope", "ground_level",
    "light_side", "body_width", "sweater_stripes",
)  # fmt: skip
FACTORS = COLOUR_FACTORS + SHAPE_FACTORS
N_FACTORS = len(FACTORS)
_INDEX = {name: i for i, name in enumerate(FACTORS)}

Z_DIM = 512
PROJECTION_SEED = 20231204


def projection(z_dim: int = Z_DIM, seed: int = PROJECTION_SEED) -> Tensor:
    """(N_FACTORS, z_dim) float32 with orthonormal rows: the fixed map from latents to factors."""
    generator = torch.Generator().manual_seed(seed)
    gauss = torch.randn(z_dim, N_FACTORS, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(gauss)
    return (q * torch.sign(torch.diagonal(r))).T.float().contiguous()


def factors_of(z: Tensor, rows: Tensor) -> Tensor:
    """Factors (B, N_FACTORS) of latents z (B, z_dim): z scaled to |z| = sqrt(z_dim), projected."""
    z = z * (z.shape[1] ** 0.5 / z.norm(dim=1, keepdim=True).clamp_min(1e-12))
    return z @ rows.T


# ---------------------------------------------------------------- colours and small helpers


def _uniform(x: Tensor) -> Tensor:
    """Standard normal -> uniform on (0, 1): spreads the pictures evenly over a factor's range."""
    return 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def _colour(light: Tensor, a: Tensor, b: Tensor, low: float, high: float, chroma: float) -> Tensor:
    """Oklab colours -> sRGB in [0, 1], (B, 3, 1, 1).

    Lightness is uniform in [low, high]; (a, b) fills the disc of radius ``chroma`` evenly. The hue
    never wraps: the plane is used as a plane.
    """
    radius2 = a * a + b * b
    # The area-preserving squash of a 2-d Gaussian onto the unit disc.
    squash = torch.sqrt((1 - torch.exp(-radius2 / 2)) / radius2.clamp_min(1e-9))
    lightness = low + (high - low) * _uniform(light)
    return _oklab_to_srgb(lightness, chroma * squash * a, chroma * squash * b)


def _oklab_to_srgb(lightness: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Ottosson's Oklab (2020) to gamma-encoded sRGB, softly held inside the gamut."""
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = torch.stack(
        (
            4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
        ),
        dim=1,
    )
    linear = torch.nn.functional.softplus(linear, beta=60).clamp(max=1.0)
    return (1.055 * linear ** (1 / 2.4) - 0.055).clamp(0, 1)[:, :, None, None]


def _cover(f: Tensor) -> Tensor:
    """Antialiased coverage (in [0, 1]) of {f > 0}; one pixel of softness, from f's own gradient.

    Differences wrap around the border: the caller cuts the outermost pixels off.
    """
    fx = (torch.roll(f, -1, -1) - torch.roll(f, 1, -1)) / 2
    fy = (torch.roll(f, -1, -2) - torch.roll(f, 1, -2)) / 2
    return (0.5 + f / (1.25 * torch.sqrt(fx * fx + fy * fy) + 1e-6)).clamp(0, 1)


def _over(picture: Tensor, colour: Tensor, alpha: Tensor) -> Tensor:
    """Lay ``colour`` (B, 3, 1 or H, 1 or W) with opacity ``alpha`` (B, H, W) over the picture."""
    return picture + alpha[:, None] * (colour - picture)


def _glow(x: Tensor, y: Tensor, rx: Tensor | float, ry: Tensor | float) -> Tensor:
    """exp(-(x/rx)^2 - (y/ry)^2): a soft spot."""
    return torch.exp(-((x / rx) ** 2) - (y / ry) ** 2)


# ---------------------------------------------------------------- the portrait


def _colours(factors: Tensor) -> dict[str, Tensor]:
    """The portrait's colours, each (B, 3, 1, 1) sRGB in [0, 1]."""

    def n(name: str) -> Tensor:
        return factors[:, _INDEX[name]]

    def colour(name: str, low: float, high: float, chroma: float) -> Tensor:
        return _colour(n(f"{name}_light"), n(f"{name}_a"), n(f"{name}_b"), low, high, chroma)

    return {
        "sky": colour("sky", 0.35, 0.95, 0.17),
        "ground": colour("ground", 0.30, 0.92, 0.17),
        "coat": colour("coat", 0.30, 0.94, 0.13),
        "mark": colour("mark", 0.25, 0.97, 0.12),
        "sweater": colour("sweater", 0.30, 0.90, 0.20),
        "stripe": colour("stripe", 0.30, 0.95, 0.18),
        "iris": _colour(0 * n("iris_a"), n("iris_a"), n("iris_b"), 0.62, 0.62, 0.16),
    }


def controls(factors: Tensor) -> Tensor:
    """What a picture depends on linearly or nearly so, (B, 49), all in about [-1, 1].

    The sRGB values of the seven colours, then the uniform variable behind every other factor.
    """
    rgb = torch.cat([c[:, :, 0, 0] for c in _colours(factors).values()], dim=1)
    rest = factors[:, _INDEX["nose_tone"] :]
    return torch.cat((rgb, _uniform(rest)), dim=1) * 2 - 1


def render(factors: Tensor, size: int = 128) -> Tensor:
    """Portraits (B, 3, size, size), sRGB in [-1, 1], float32, of factors (B, N_FACTORS)."""

    def n(name: str) -> Tensor:  # the raw normal, (B,)
        return factors[:, _INDEX[name]]

    def u(name: str, low: float, high: float) -> Tensor:  # uniform between bounds, (B, 1, 1)
        return (low + (high - low) * _uniform(n(name)))[:, None, None]

    sky, ground, coat, mark, sweater, stripe, iris = _colours(factors).values()

    # One pixel more on every side: _cover wraps there, and it is cut off at the end.
    canvas = size + 2
    ticks = (torch.arange(canvas, dtype=factors.dtype) - 0.5) * (2 / size) - 1
    px, py = ticks[None, None, :], ticks[None, :, None]  # broadcast to (1, H, W)

    # Background: a sky that lightens towards the horizon, rolling ground, a halo behind the head.
    level = u("ground_level", -0.45, 0.60)
    slope = u("ground_slope", -0.75, 0.75)
    horizon = py - level - slope * px + 0.05 * torch.cos(4.0 * px)
    picture = sky * (1.0 + 0.16 * py[:, None])
    ground_shade = 1.06 - 0.22 * (horizon[:, None] - 0.1)
    picture = _over(picture, ground * ground_shade, _cover(horizon))
    halo = _glow(px, py + 0.05, 0.8, 0.8)
    picture = picture + 0.10 * halo[:, None]

    # Head frame, folded over its axis of symmetry.
    x, y = px, py + 0.02
    ax = torch.sqrt(x * x + 1e-5)  # |x|, smooth on the axis

    side = u("light_side", -0.75, 0.75)
    lx, ly, lz = side, -0.62, 0.72
    norm = torch.sqrt(lx * lx + ly * ly + lz * lz)
    lx, ly, lz = lx / norm, ly / norm, lz / norm

    def lit(nx: Tensor, ny: Tensor, nz: Tensor, ambient: float = 0.62) -> Tensor:
        """Half-Lambert shade factor for normals (nx, ny, nz)."""
        lambert = 0.5 + 0.5 * (nx * lx + ny * ly + nz * lz)
        return ambient + (1.16 - ambient) * lambert * lambert

    # Sweater.
    bw = u("body_width", 0.50, 0.86)
    bx, by = px / bw, (py - 1.22) / 0.80
    body = 1 - (bx * bx) ** 1.25 - by * by
    bz = torch.sqrt(body.clamp_min(0.02))
    arc = py - 0.25 * bx * bx * bw  # knitted rows sag along the shoulders
    rows = torch.cos((arc - 0.66) * (2 * math.pi / 0.24))
    rows_width = u("sweater_stripes", -1.5, 1.1)
    knit = _over(
        sweater.expand(-1, 3, canvas, canvas), stripe, (0.5 + 2.4 * (rows + rows_width)).clamp(0, 1)
    )
    collar = 1 - (bx * bw / 0.36) ** 2 - ((py - 0.56) / 0.17) ** 2
    knit = _over(knit, stripe, _cover(collar))
    shade = lit(bx * 0.8, by * 0.9, bz, 0.5)
    shade = shade * (1 - 0.40 * _glow(px, py - 0.50, 0.42, 0.26))
    picture = picture * (1 - 0.30 * torch.sigmoid(9 * (body + 0.05)))[:, None]
    picture = _over(picture, knit * shade[:, None], _cover(body))

    # Sizes of the head.
    hw = u("head_width", 0.40, 0.62)
    hh = u("head_height", 0.44, 0.60)
    taper = u("jaw_taper", -0.28, 0.20)
    fluff = u("cheek_fluff", -0.02, 0.24)

    # Soft shadow of the head on whatever is behind it.
    picture = picture * (1 - 0.34 * _glow(x, y - 0.08, hw * 1.12, hh * 1.15))[:, None]

    # Horns, growing out from behind the ears: a bent spindle, blunt at its tip.
    horn_len = 0.52 * torch.sigmoid(2.2 * n("horns") - 1.0)[:, None, None]
    hx, hy = ax - 0.38 * hw, -(y + 0.70 * hh)  # hy points upwards
    bend = hx - 1.1 * hy * hy
    up = hy / (horn_len + 0.10)
    horn = (1 - up) * (1 + 0.35 * up) - (bend / 0.085) ** 2
    horn_colour = torch.tensor([0.93, 0.86, 0.72]).view(1, 3, 1, 1)
    horn_shade = 0.72 + 0.3 * up - 2.0 * bend.clamp(-0.1, 0.1)
    horn_alpha = _cover(horn) * (hy > -0.1)  # what lies lower is behind the head
    picture = _over(picture, horn_colour * horn_shade[:, None], horn_alpha)

    # Ears: an egg whose far end narrows, from round to pointed, from upright to hanging.
    el = u("ear_length", 0.20, 0.46)
    ew = u("ear_width", 0.12, 0.25)
    point = u("ear_point", 0.05, 0.92)
    theta = u("ear_angle", 0.02, 1.95)
    spread = u("ear_spread", 0.42, 0.80)
    ex, ey = ax - spread * hw, y + (0.80 - 0.45 * (spread - 0.42) / 0.38 * 0.8) * hh
    st, ct = torch.sin(theta), torch.cos(theta)
    along = (ex * st - ey * ct) / el - 0.55
    across = ex * ct + ey * st
    width = ew * (1 - point * (0.45 + 0.55 * along).clamp(-0.4, 1.0))
    ear = 1 - (across / width) ** 2 - along * along
    ear_z = torch.sqrt(ear.clamp_min(0.04))
    ear_shade = lit(0.75 * torch.sign(x) * across / width, -0.3 * along, ear_z)
    inner = 1 - (across / (0.58 * width)) ** 2 - ((along - 0.02) / 0.74) ** 2
    flesh = 0.45 * mark + 0.55 * torch.tensor([0.93, 0.62, 0.60]).view(1, 3, 1, 1)
    ear_colour = _over(coat.expand(-1, 3, canvas, canvas), 0.92 * flesh, _cover(inner) * 0.9)
    ear_tip = torch.sigmoid(9 * (along - 1.15 + 0.65 * u("mask_size", 0.0, 1.0)))
    ear_colour = _over(ear_colour, mark, ear_tip * (1 - _cover(inner)))
    picture = _over(picture, ear_colour * ear_shade[:, None], _cover(ear))

    # Head: a superellipse with cheeks.
    yn = y / hh
    half = hw * (1 + taper * yn + fluff * torch.exp(-(((yn - 0.42) / 0.36) ** 2)))
    xn = x / half
    head = 1 - (xn * xn + 1e-6) ** 1.12 - (yn * yn + 1e-6) ** 1.15
    hz = torch.sqrt(head.clamp_min(0.015))
    head_alpha = _cover(head)

    # Markings: a forehead blaze that widens to the muzzle, eye mask, tabby bars.
    skin = coat.expand(-1, 3, canvas, canvas)
    bars = torch.cos(xn * 9.5) * torch.sigmoid(-10 * (yn + 0.42))
    cheek_bars = torch.cos(yn * 15.0 - 3.0) * torch.sigmoid(14 * (xn.abs() - 0.62))
    tabby = u("tabby", -1.1, 0.75)
    dark = coat * 0.52
    skin = _over(skin, dark, 0.85 * _cover(torch.maximum(bars, cheek_bars) + tabby - 0.35))

    eye_gap = u("eye_gap", 0.36, 0.52) * hw
    eye_y = u("eye_height", -0.16, 0.05)
    exx, eyy = ax - eye_gap, y - eye_y
    mask = u("mask_size", -0.05, 0.30)
    patch = mask * mask.abs() * 8.0 / (0.3 * 8.0) - (
        exx * exx + (eyy * 0.86 + 0.4 * exx * 0.5) ** 2
    )
    skin = _over(skin, mark, _cover(patch))
    blaze = u("blaze_width", -0.08, 0.24) * (0.75 + 0.5 * yn) - ax
    muzzle_y = eye_y + 0.25
    skin = _over(skin, mark, _cover(blaze))

    shade = lit(0.95 * xn, 0.85 * yn, hz)
    shade = shade * (1 - 0.22 * _glow(exx, eyy, 0.16, 0.15))  # the eye sockets
    shade = shade * (1 - 0.28 * torch.exp(-head.clamp_min(0) * 6.0) * (0.6 + 0.4 * yn))
    face = skin * shade[:, None]
    rim = torch.exp(-head.clamp_min(0) * 7.0) * torch.sigmoid(5 * (lx * xn - 0.9 * yn - 0.25))
    face = face + 0.20 * rim[:, None]
    picture = _over(picture, face, head_alpha)

    # Muzzle: a lighter bump with its own light, nose and mouth on it.
    mw = u("muzzle_width", 0.17, 0.33)
    mh = u("muzzle_height", 0.13, 0.24)
    mx, my = x / mw, (y - muzzle_y - 0.02) / mh
    muzzle = 1 - (mx * mx + 1e-6) ** 1.1 - my * my
    mz = torch.sqrt(muzzle.clamp_min(0.03))
    muzzle_alpha = _cover(muzzle) * head_alpha
    picture = picture * (1 - 0.20 * _glow(x, y - muzzle_y - 0.07, mw * 1.1, mh * 1.15))[:, None]
    muzzle_colour = (0.86 * mark + 0.14) * (0.12 + 0.92 * lit(0.7 * mx, 0.75 * my, mz))[:, None]
    picture = _over(picture, muzzle_colour, muzzle_alpha)

    ink = torch.tensor([0.13, 0.09, 0.10]).view(1, 3, 1, 1)
    ns = u("nose_size", 0.050, 0.115)
    nose_y = muzzle_y - 0.045
    # Mouth: a stem from the nose and two arcs.
    smile = u("smile", -0.05, 0.13)
    mouth_y = nose_y + 0.62 * ns + 0.075
    reach = 0.62 * mw
    t = (ax / reach).clamp(0, 1.4)
    arc_y = mouth_y + 0.04 * torch.sin(math.pi * t.clamp(0, 1)) - smile * t * t
    mouth = 0.017 - (y - arc_y).abs() / torch.sqrt(1 + (2 * smile * t / reach) ** 2)
    mouth = torch.minimum(mouth, 0.5 * (reach - ax))
    stem = torch.minimum(0.014 - ax, torch.minimum(y - nose_y, mouth_y - y))
    picture = _over(picture, ink, 0.85 * _cover(torch.maximum(mouth, stem)))

    ny = (y - nose_y) / (0.68 * ns)
    nx = x / (ns * (1 - 0.38 * ny.clamp(-1, 1)))
    nose = 1 - (nx * nx + 1e-6) ** 1.3 - (ny * ny + 1e-6) ** 1.3
    tone = u("nose_tone", 0.0, 1.0)[:, None]
    pink = torch.tensor([0.90, 0.47, 0.50]).view(1, 3, 1, 1)
    nose_colour = ink * 1.3 + tone * (pink - ink * 1.3)
    nose_shade = 1.05 - 0.28 * ny + 0.55 * _glow(x + 0.25 * ns, y - nose_y + 0.28 * ns, 0.3 * ns,
                                                0.2 * ns)  # fmt: skip
    nose_light = nose_colour * nose_shade[:, None]
    shine = 0.40 * _glow(x - 0.2 * ns * side, y - nose_y + 0.30 * ns, 0.38 * ns, 0.20 * ns)
    picture = _over(picture, nose_light + shine[:, None], _cover(nose))

    # Eyes: dark rim, white, iris, pupil, two highlights, an upper lid of the coat's colour.
    es = u("eye_size", 0.085, 0.150)
    lid = u("eye_lid", -1.25, -0.42)
    outside = 1 - (exx / es) ** 2 - (eyy / es) ** 2
    picture = _over(picture, ink, _cover(outside + 0.42))
    ball = _cover(outside)
    eye = torch.full_like(picture, 0.97)
    look = 0.10 * es * side / 0.75 * torch.sign(x)
    ix, iy = exx - look, eyy - 0.04 * es
    r2 = (ix * ix + iy * iy) / (es * es)
    iris_shade = 0.72 + 0.55 * (iy / es).clamp(-1, 1) * 0.6 + 0.25 * r2
    eye = _over(eye, iris * iris_shade[:, None], _cover(0.70 - r2))
    pupil = u("pupil", 0.07, 0.42)
    eye = _over(eye, ink * 0.6, _cover(pupil - r2))
    real_x = x - torch.sign(x) * eye_gap
    glint = ((real_x + 0.28 * es) ** 2 + (eyy + 0.32 * es) ** 2) / (es * es)
    eye = _over(eye, torch.ones(1), _cover(0.065 - glint))
    glint2 = ((real_x - 0.30 * es) ** 2 + (eyy - 0.34 * es) ** 2) / (es * es)
    eye = _over(eye, torch.ones(1), 0.7 * _cover(0.022 - glint2))
    eye = eye * (1 - 0.45 * torch.exp(-((outside.clamp_min(0) + (eyy / es + 0.6) * 0.5).clamp_min(0)
                                        ) * 3.0))[:, None]  # fmt: skip
    # The lid comes down over the ball; -1.25 is wide open.
    lid_edge = eyy / es - lid + 0.22 * (exx / es) ** 2 - 0.12 * exx / es
    lid_colour = (0.62 * coat + 0.02) * torch.ones_like(picture)
    eye = _over(eye, lid_colour, 1 - _cover(lid_edge))
    line = 0.10 - (lid_edge - 0.02).abs()
    eye = _over(eye, ink, _cover(line))
    picture = _over(picture, eye, ball)

    return picture[:, :, 1:-1, 1:-1].clamp(0, 1) * 2 - 1


def sheet(pictures: Tensor, columns: int = 8) -> Tensor:
    """Contact sheet (H, W, 3) uint8 of pictures (B, 3, h, w) in [-1, 1]."""
    b, _, h, w = pictures.shape
    rows = math.ceil(b / columns)
    padded = torch.ones(rows * columns, 3, h, w)
    padded[:b] = pictures
    grid = padded.view(rows, columns, 3, h, w).permute(0, 3, 1, 4, 2)
    grid = grid.reshape(rows * h, columns * w, 3)
    return (grid * 127.5 + 128).clamp(0, 255).to(torch.uint8)
