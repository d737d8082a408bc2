from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from huref_zk.errors import InputError
from huref_zk.render import image as im


def picture(side: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = chunk(b"IEND", b"")


def test_pixels_follow_hurefs_rule_exactly() -> None:
    step = 1 / 128
    values = [-9.0, -1.0, -1 + step, -1 + step * 0.999, 0.0, 1 - step, 1.0, 9.0]
    expected = [0, 0, 1, 0, 128, 255, 255, 255]
    out = im.pixels(np.array(values * 3).reshape(3, 2, 4))
    assert out.dtype == np.uint8 and out.shape == (2, 4, 3)
    assert out[..., 0].ravel().tolist() == expected


def test_png_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    im.write_png(path, picture(), {"huref": "x" * 50})
    assert np.array_equal(im.read_png(path), picture())
    assert Image.open(path).text == {"huref": "x" * 50}
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_writing_is_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    im.write_png(path, picture())
    with pytest.raises(InputError, match="uint8"):
        im.write_png(path, picture().astype(np.float64))
    assert np.array_equal(im.read_png(path), picture())
    with pytest.raises(InputError, match="cannot write"):
        im.write_png(path / "b.png", picture())  # within what is no folder
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def saved(mode: str, form: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture()).convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


IDAT = zlib.compress(b"".join(b"\0" + bytes(48) for _ in range(16)))
VALID = SIGNATURE + header(16, 16) + chunk(b"IDAT", IDAT) + END
HOSTILE = {
    "empty": b"",
    "text": b"hello" * 20,
    "jpeg": saved("RGB", "JPEG"),
    "gif": saved("P", "GIF"),
    "grey": saved("L"),
    "palette": saved("P"),
    "alpha": saved("RGBA"),
    "transparent": SIGNATURE + header(16, 16) + chunk(b"tRNS", bytes(6)) + VALID[33:],
    "16 bits": SIGNATURE + header(16, 16, depth=16) + VALID[33:],
    "100000 pixels a side": SIGNATURE + header(100_000, 100_000) + VALID[33:],
    "interlaced": VALID.replace(
        header(16, 16), chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 1))
    ),
    "too much data": SIGNATURE + header(16, 8) + VALID[33:],
    "no pixels": SIGNATURE + header(0, 0) + VALID[33:],
    "second header": VALID[:33] + header(4000, 4000) + VALID[33:],
    "no data": SIGNATURE + header(16, 16) + END,
    "too little data": SIGNATURE + header(16, 64) + VALID[33:],
    "cut off": VALID[:-20],
    "damaged data": VALID[:50] + b"\xff" + VALID[51:],
    "overlong chunk": VALID[:33] + b"\xff\xff\xff\xff" + VALID[37:],
    "many chunks": VALID[:33] + chunk(b"teXt", b"") * 30_000 + VALID[33:],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(VALID)
    assert not im.read_png(path).any()  # control: the same bytes, whole, are a black picture
    path.write_bytes(HOSTILE[kind])
    with pytest.raises(InputError, match=r"x\.png") as caught:
        im.read_png(path)
    assert "\n" not in str(caught.value)


def test_text_bombs_are_not_unpacked(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(200 << 20))
    chunks = chunk(b"zTXt", b"a\0\0" + bomb) + chunk(b"iCCP", b"a\0\0" + bomb)
    path = tmp_path / "x.png"
    path.write_bytes(VALID[:33] + chunks + VALID[33:])
    assert not im.read_png(path).any()


def test_random_damage_never_escapes_as_another_error(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    im.write_png(path, picture())
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(int(rng.integers(1, 4))):
            data[rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(data[: rng.integers(len(data))] if rng.random() < 0.3 else data)
        try:
            im.read_png(path)
        except InputError:
            refused += 1
    assert refused > 300


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        im.read_png(tmp_path / "none.png")


def test_difference_names_the_first_pixel() -> None:
    a = picture()
    assert im.difference(a, a.copy()) is None
    b = a.copy()
    b[3, 5, 1] ^= 1
    b[9, 2, 0] ^= 1
    assert "2 of 256 pixels differ, the first at row 3, column 5" in str(im.difference(a, b))
    assert "16 x 16 pixels, the other 8 x 8" in str(im.difference(a, picture(8)))


def test_contact_sheet_holds_every_image_and_a_label() -> None:
    images = [picture(16, k) for k in range(5)]
    sheet = im.contact_sheet(images, [f"n{k}" for k in range(5)], columns=3)
    assert sheet.shape == (2 * (16 + 28) + 8, 3 * 24 + 8, 3)
    for k, image in enumerate(images):
        top, left = 8 + (k // 3) * 44, 8 + (k % 3) * 24
        assert np.array_equal(sheet[top : top + 16, left : left + 16], image)
        assert (sheet[top + 16 : top + 36, left : left + 16] < 128).any()  # ink
    assert (sheet[8 + 44 + 16 :, 8 + 48 :] == 255).all()  # the sixth cell is empty


def test_contact_sheet_takes_any_label() -> None:
    sheet = im.contact_sheet([picture(32)], ["a very\nlong \u6f22 label indeed" * 9])
    assert sheet.shape == (32 + 28 + 8, 32 + 16, 3)


@pytest.mark.parametrize(("count", "labels", "columns"), [(0, 0, 1), (2, 1, 1), (2, 2, 0)])
def test_contact_sheet_refuses_nonsense(count: int, labels: int, columns: int) -> None:
    with pytest.raises(InputError):
        im.contact_sheet([picture()] * count, ["a"] * labels, columns)
