"""Pictures: float output to pixels, PNG files in and out, and the contact sheet."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from huref_zk.errors import InputError
from huref_zk.files.container import read_bounded
from huref_zk.files.writing import write_atomically

MAX_SIDE = 4096
MAX_FILE_BYTES = 1 << 26
MAX_CHUNKS = 20_000
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Contact sheet, in pixels.
_MARGIN = 8
_LABEL_HEIGHT = 20
MAX_SHEET_IMAGES = 1024
MAX_SHEET_PIXELS = 1 << 26


def pixels(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) of a generator's float output (3, H, W): uint8(clip((x+1)/2*256, 0, 255)).

    HuRef's own rule. It truncates, and every step is one IEEE operation, so it is exact.
    """
    scaled = np.clip((image + 1) / 2 * 256, 0, 255)
    return np.ascontiguousarray(scaled.astype(np.uint8).transpose(1, 2, 0))


def write_png(path: str | Path, image: np.ndarray, text: Mapping[str, str] | None = None) -> None:
    """Write uint8 (H, W, 3) as a PNG, with ``text`` as its text chunks. All or nothing."""
    write_atomically(path, png_bytes(image, text))


def png_bytes(image: np.ndarray, text: Mapping[str, str] | None = None) -> bytes:
    """The PNG file of uint8 (H, W, 3), with ``text`` as its text chunks."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"an image is uint8 of shape (H, W, 3), not {image.dtype} {image.shape}")
    info = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        info.add_text(key, value)
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "PNG", pnginfo=info, optimize=True)
    return buffer.getvalue()


def read_png(path: str | Path) -> np.ndarray:
    """uint8 (H, W, 3) of a plain 8-bit RGB PNG (no transparency, not interlaced), to 4096 x 4096.

    Safe on hostile files: the size is read from the header before anything is decompressed, only
    the PNG decoder runs, text chunks are not looked at. Raises InputError.
    """
    file = Path(path)
    data = read_bounded(file, MAX_FILE_BYTES)
    # Signature, then the IHDR chunk: length, name, width, height, depth, colour type, ...
    if len(data) < 33 or not data.startswith(_PNG_SIGNATURE) or data[12:16] != b"IHDR":
        raise InputError(f"{file}: not a PNG file")
    width, height, *form = struct.unpack(">IIBBBBB", data[16:29])
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise InputError(f"{file}: {width} x {height} pixels; at most {MAX_SIDE} x {MAX_SIDE}")
    # Depth 8, colour type RGB, and the only compression and filter there are; not interlaced.
    if form != [8, 2, 0, 0, 0]:
        raise InputError(f"{file}: not a plain 8-bit RGB PNG")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plain = _image_chunks(data, rows=height * (1 + 3 * width))
            return np.array(Image.open(BytesIO(plain), formats=["PNG"]), dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error) as e:
        raise InputError(f"{file}: damaged PNG ({str(e)[:100] or type(e).__name__})") from None


def _image_chunks(data: bytes, rows: int) -> bytes:
    """The file with only the chunks that make the picture: IHDR, IDAT, IEND.

    What is left out (text, profiles, gamma, animation) cannot change a pixel here, and cannot be
    a decompression bomb either. The data must unpack to exactly ``rows`` bytes (Pillow would fill
    up missing ones with black). Raises ValueError or zlib.error when that does not hold.
    """
    parts = [_PNG_SIGNATURE]
    packed: list[bytes] = []
    at = len(_PNG_SIGNATURE)
    for _ in range(MAX_CHUNKS):
        length = int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        end = at + 12 + length
        if len(name) < 4 or end > len(data):
            raise ValueError("cut off")
        if name == b"tRNS" or (name == b"IHDR" and len(parts) > 1):
            raise ValueError(f"a {name.decode()} chunk where none may be")
        if name in (b"IHDR", b"IDAT", b"IEND"):
            parts.append(data[at:end])
        if name == b"IDAT":
            packed.append(data[at + 8 : end - 4])
        if name == b"IEND":
            if len(zlib.decompressobj().decompress(b"".join(packed), rows + 1)) != rows:
                raise ValueError("its rows are too few or too many")
            return b"".join(parts)
        at = end
    raise ValueError(f"over {MAX_CHUNKS} chunks")


def difference(a: np.ndarray, b: np.ndarray) -> str | None:
    """None when two uint8 (H, W, 3) images are equal, else one phrase: size or first pixel."""
    if a.shape != b.shape:
        return f"one is {a.shape[1]} x {a.shape[0]} pixels, the other {b.shape[1]} x {b.shape[0]}"
    differs = (a != b).any(axis=2)
    if not differs.any():
        return None
    y, x = (int(i) for i in np.unravel_index(int(differs.argmax()), differs.shape))
    return (
        f"{int(differs.sum())} of {differs.size} pixels differ, the first at row {y}, column {x}:"
        f" {tuple(a[y, x].tolist())} against {tuple(b[y, x].tolist())}"
    )


def contact_sheet(
    images: Sequence[np.ndarray], labels: Sequence[str], columns: int | None = None
) -> np.ndarray:
    """One uint8 (H, W, 3) picture of all ``images`` in a grid, each above its label.

    Cells have the size of the largest image; smaller ones keep theirs, centred. ``columns``
    defaults to the square root of the number of images, rounded up. Raises InputError when there is
    nothing to show or too much.
    """
    count = len(images)
    if not 0 < count <= MAX_SHEET_IMAGES or len(labels) != count:
        raise InputError(f"a sheet holds 1 to {MAX_SHEET_IMAGES} images, each with one label")
    if columns is None:
        columns = int(np.ceil(np.sqrt(count)))
    if not 0 < columns <= MAX_SHEET_IMAGES:
        raise InputError(f"a sheet has 1 to {MAX_SHEET_IMAGES} columns, not {columns}")
    columns = min(columns, count)
    rows = -(-count // columns)
    cell_h = max(image.shape[0] for image in images)
    cell_w = max(image.shape[1] for image in images)
    pitch_h, pitch_w = cell_h + _LABEL_HEIGHT + _MARGIN, cell_w + _MARGIN
    height, width = rows * pitch_h + _MARGIN, columns * pitch_w + _MARGIN
    if height * width > MAX_SHEET_PIXELS:
        raise InputError(f"the sheet would have {width} x {height} pixels; show fewer images")
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default()
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        left, top = _MARGIN + (i % columns) * pitch_w, _MARGIN + (i // columns) * pitch_h
        h, w = image.shape[:2]
        sheet.paste(Image.fromarray(image), (left + (cell_w - w) // 2, top + (cell_h - h) // 2))
        draw.text((left, top + cell_h + 4), _fit(label, cell_w, font), fill="black", font=font)
    return np.asarray(sheet)


def _fit(label: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """``label`` on one line, its end cut off where it is wider than ``width`` pixels."""
    # Pillow's built-in bitmap font knows Latin-1 only.
    line = " ".join(label[:200].split()).encode("latin-1", "replace").decode("latin-1")
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "...") > width:
        line = line[:-1]
    return line + "..."
