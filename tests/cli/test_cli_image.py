"""huref-zk render and huref-zk sheet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from huref_zk.cli import main
from huref_zk.render import RenderConfig, load_generator, render
from huref_zk.render import architecture as arch
from huref_zk.render.tensors_file import write_safetensors

V = [(-1) ** k * (k * k + 1) << 70 for k in range(8)]


@pytest.fixture
def generator_file(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    required, _ = arch.parameter_shapes(8, 7, 2, (6, 5, 4))
    params = {n: rng.standard_normal(s).astype(np.float16) for n, s in required.items()}
    path = tmp_path / "g.safetensors"
    write_safetensors(path, params, {})
    return path


def run(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], input=stdin)


def pixels_of(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.mark.parametrize("form", ["list", "object", "stdin"])
def test_render_draws_what_the_library_draws(tmp_path, generator_file, form: str) -> None:
    vector, out = tmp_path / "v.json", tmp_path / "v.png"
    vector.write_text(json.dumps({"v": V, "other": 1} if form == "object" else V))
    source, stdin = ("-", vector.read_text()) if form == "stdin" else (vector, None)
    done = run("render", source, "--out", out, "--generator", generator_file, "--json", stdin=stdin)
    assert done.exit_code == 0, done.output
    generator = load_generator(generator_file)
    assert np.array_equal(pixels_of(out), render(V, generator))
    data = json.loads(done.stdout)
    assert data["generator"] == generator.digest
    assert (data["psi_percent"], data["cutoff"], data["arithmetic"]) == (50, 8, 1)


def test_render_takes_psi_and_cutoff(tmp_path, generator_file) -> None:
    vector, out = tmp_path / "v.json", tmp_path / "v.png"
    vector.write_text(json.dumps(V))
    options = ("--generator", generator_file, "--psi", 80, "--cutoff", 2)
    assert run("render", vector, "--out", out, *options).exit_code == 0
    generator = load_generator(generator_file)
    assert np.array_equal(pixels_of(out), render(V, generator, RenderConfig(80, 2)))
    assert not np.array_equal(pixels_of(out), render(V, generator))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("{}", "neither a list"),
        ("[1.5]", "neither a list"),
        ("[true]", "neither a list"),
        ("[1, 2]", "the vector has 2"),
        (json.dumps([0] * 8), "all zero"),
        (json.dumps([2**300] * 8), "exceeds"),
        (" " * (1 << 20) + "[1]", "not a vector"),
    ],
)
def test_bad_vectors_exit_with_2(tmp_path, generator_file, content: str, message: str) -> None:
    vector, out = tmp_path / "v.json", tmp_path / "v.png"
    vector.write_text(content)
    done = run("render", vector, "--out", out, "--generator", generator_file)
    assert done.exit_code == 2
    assert message in done.stderr and "Traceback" not in done.output
    assert not out.exists()


def test_missing_files_exit_with_2(tmp_path, generator_file) -> None:
    out = tmp_path / "v.png"
    done = run("render", tmp_path / "none.json", "--out", out, "--generator", generator_file)
    assert done.exit_code == 2 and "none.json" in done.stderr
    done = run("render", "-", "--out", out, "--generator", tmp_path / "none.pkl", stdin="[1]")
    assert done.exit_code == 2 and "no such generator" in done.stderr


def test_sheet_of_pictures_and_vectors(tmp_path, generator_file) -> None:
    vector, picture, out = tmp_path / "v.json", tmp_path / "p.png", tmp_path / "sheet.png"
    vector.write_text(json.dumps(V))
    run("render", vector, "--out", picture, "--generator", generator_file)
    options = ("--out", out, "--columns", 2, "--generator", generator_file, "--json")
    done = run("sheet", picture, vector, *options)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["pictures"] == 2
    sheet, cell = pixels_of(out), pixels_of(picture)
    assert np.array_equal(sheet[8:24, 8:24], cell)
    assert np.array_equal(sheet[8:24, 32:48], cell)


def test_sheet_refuses_what_is_no_picture(tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(b"no")
    done = run("sheet", tmp_path / "a.png", "--out", tmp_path / "sheet.png")
    assert done.exit_code == 2 and "not a PNG" in done.stderr
    assert run("sheet", "--out", tmp_path / "sheet.png").exit_code == 2
