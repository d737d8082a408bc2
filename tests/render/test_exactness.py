"""The exact back end gives the same bits on every BLAS kernel, thread count and SIMD level."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from huref_zk.errors import InputError
from huref_zk.render import architecture as arch
from huref_zk.render import render, stylegan2_numpy
from huref_zk.render.config import ARITHMETIC_VERSION, RenderConfig
from huref_zk.render.generator import build_generator, load_generator
from huref_zk.render.image import pixels
from huref_zk.render.stylegan2_numpy import EXACT, FLOAT64, synthesise

# Prints hashes of: exact pixels, exact float output, plain float64 output.
SCRIPT = """
import hashlib, json, sys
import numpy as np
from huref_zk.render import load_generator, render
from huref_zk.render.config import RenderConfig
from huref_zk.render.latent import latent_from_v
from huref_zk.render.stylegan2_numpy import EXACT, FLOAT64, synthesise

generator = load_generator(sys.argv[1] or None)
sha = lambda a: hashlib.sha256(a.tobytes()).hexdigest()
out = {"pixels": [], "exact": [], "float": []}
for seed in range(2):
    v = [int(x) for x in np.random.default_rng(seed).integers(-2**40, 2**40, generator.z_dim)]
    out["pixels"].append(sha(render(v, generator, RenderConfig())))
    z = latent_from_v(v)
    for name, arithmetic in (("exact", EXACT), ("float", FLOAT64)):
        out[name].append(sha(synthesise(generator, z, RenderConfig(), arithmetic)))
print("RESULT " + json.dumps(out))
"""


def run(generator: str, **environment: str) -> tuple[str, dict[str, list[str]]] | None:
    """(BLAS kernel in use, hashes) of a fresh process; None if this CPU cannot run the kernel."""
    dropped = ("OPENBLAS_", "OMP_", "NPY_")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, generator],
        env=clean | {"OPENBLAS_VERBOSE": "2"} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).resolve().parents[2],
    )
    if done.returncode < 0:  # killed by SIGILL: the kernel needs instructions this CPU lacks
        return None
    assert done.returncode == 0, done.stderr
    core = re.search(r"^Core: (\w+)", done.stdout + done.stderr, re.MULTILINE)
    result = re.search(r"^RESULT (.*)$", done.stdout, re.MULTILINE)
    assert result
    return core[1] if core else "not OpenBLAS", json.loads(result[1])


@pytest.mark.parametrize("which", ["random", "embedded"])
def test_same_bits_on_every_kernel_and_thread_count(which: str, full_generator_file: Path) -> None:
    path = str(full_generator_file) if which == "random" else ""
    first = run(path, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
    assert first is not None
    floats = {first[1]["float"][0]}
    kernels = {first[0]}
    cores = ("Haswell", "Zen", "SkylakeX", "Sandybridge", "Nehalem", "Prescott")
    for core in cores if first[0] != "not OpenBLAS" else ("",):
        for threads in "12" if core in ("Haswell", "Sandybridge", "") else "1":
            got = run(
                path,
                OPENBLAS_CORETYPE=core,
                OPENBLAS_NUM_THREADS=threads,
                OMP_NUM_THREADS=threads,
            )
            if got is None:
                break
            kernels.add(got[0])
            floats.add(got[1]["float"][0])
            assert got[1]["pixels"] == first[1]["pixels"], (core, threads)
            assert got[1]["exact"] == first[1]["exact"], (core, threads)
    if len(kernels) < 2:
        pytest.skip(f"only one BLAS kernel can run here: {kernels}")
    # Control: the kernels do differ, and show it where nothing is put on grids.
    assert len(floats) > 1, kernels


def test_same_bits_without_numpys_simd(full_generator_file: Path) -> None:
    """numpy's own loops are compiled for several instruction sets, too."""
    found = np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", [])
    if not found:
        pytest.skip("numpy dispatches nothing here")
    first = run(str(full_generator_file), OPENBLAS_NUM_THREADS="1")
    plain = run(
        str(full_generator_file), OPENBLAS_NUM_THREADS="1", NPY_DISABLE_CPU_FEATURES=" ".join(found)
    )
    assert first is not None and plain is not None
    assert plain[1]["pixels"] == first[1]["pixels"]
    assert plain[1]["exact"] == first[1]["exact"]


def test_pinned_pixels(reference) -> None:
    """Pixels of the reference weights on any machine; if they move, bump ARITHMETIC_VERSION."""
    generator, data = reference
    sha = hashlib.sha256()
    for z in data["z"]:
        latent = z.astype(np.float64)
        sha.update(pixels(synthesise(generator, latent, RenderConfig(50, 8), EXACT)).tobytes())
    assert ARITHMETIC_VERSION == 1
    pinned = {
        32: "8e6297c1cf09272dd119f0cbceeeda51fceb44637d8e425bd3055864bb0bfb8b",
        64: "103413db0ebe04f0d03a95143f8228f31920c8f7fa12b84f7ba04c3dbb8e04c0",
    }
    assert sha.hexdigest() == pinned[generator.resolution]


def test_pinned_pixels_of_the_embedded_generator() -> None:
    """One vector's pixels on any machine; they change with the shipped weights, and only so."""
    generator = load_generator()
    assert generator.digest == "fd37d5a2bf74ceef7139ce0b5a2cdae754e57c04ce4bde467cde57f4e44e272e"
    drawn = render(range(-256, 256), generator)
    pinned = "821d74c0da2a4d4fe3d1abe88da8b9e2cceef786df6880538a377e9cfe3463c6"
    assert hashlib.sha256(drawn.tobytes()).hexdigest() == pinned
    assert hashlib.sha256(render(range(-255, 257), generator).tobytes()).hexdigest() != pinned


def test_every_operand_is_on_its_grid(monkeypatch, full_generator_file: Path) -> None:
    """Watch the matrix products: operands on dyadic grids, and no sum can leave 2^53 steps."""
    seen: list[float] = []

    class Watched(np.ndarray):
        def __matmul__(self, other):
            a, b = np.asarray(self), np.asarray(other)
            a_step, b_step = grid_bits(a), grid_bits(b)
            largest = np.abs(a).sum(1).max() * np.abs(b).max()
            worst = np.abs(a).sum(1).max() * stylegan2_numpy.ACTIVATION_LIMIT
            assert largest <= worst
            seen.append(worst * 2.0 ** (a_step + max(b_step, stylegan2_numpy.ACTIVATION_BITS)))
            return a @ b

    original = stylegan2_numpy._to_weight_grid

    def watch(name, weight, bound):
        original(name, weight, bound)
        assert np.abs(weight).sum(1).max() <= bound * (1 + 2**-10) + weight.shape[1] / 1024

    monkeypatch.setattr(stylegan2_numpy, "_to_weight_grid", watch)
    for name in ("_conv3x3", "_upsampling_conv"):
        function = getattr(stylegan2_numpy, name)
        monkeypatch.setattr(
            stylegan2_numpy, name, lambda x, w, f=function: np.asarray(f(x, w.view(Watched)))
        )
    monkeypatch.setattr(np, "ascontiguousarray", lambda a: a.copy())  # keeps the subclass
    generator = load_generator(full_generator_file)
    synthesise(generator, np.random.default_rng(3).standard_normal(512), RenderConfig())
    assert len(seen) >= 6 + 5 * 9
    assert max(seen) <= 2.0**53
    assert max(seen) > 2.0**48  # and the grids are not needlessly coarse


def grid_bits(a: np.ndarray) -> int:
    """Smallest b such that every value is a multiple of 2^-b."""
    for bits in range(60):
        if np.array_equal(np.rint(a * 2.0**bits), a * 2.0**bits):
            return bits
    raise AssertionError("not on a grid of 60 bits")


def test_ordered_sum_adds_in_its_stated_order() -> None:
    a = np.random.default_rng(0).standard_normal(7)
    pairs = [a[0] + a[3], a[1] + a[4], a[2] + a[5]]
    pairs[0] += a[6]
    expected = (pairs[0] + pairs[1]) + pairs[2]
    assert stylegan2_numpy.ordered_sum(a) == expected
    assert stylegan2_numpy.ordered_sum(a[None].repeat(3, 0)).tolist() == [expected] * 3


def test_exact_is_close_to_plain_float64(reference) -> None:
    generator, data = reference
    for z in data["z"]:
        exact = synthesise(generator, z, RenderConfig(), EXACT)
        assert np.abs(exact - synthesise(generator, z, RenderConfig(), FLOAT64)).max() < 1e-4


def test_wild_generators_are_refused_not_misdrawn(small_params) -> None:
    z = np.random.default_rng(0).standard_normal(8)
    params = small_params()
    control = build_generator(params)
    assert np.isfinite(synthesise(control, z, RenderConfig())).all()

    huge = {k: v.astype(np.float32) for k, v in params.items()}
    name = "synthesis.b16.torgb.weight"
    with pytest.raises(InputError, match=r"b16\.torgb has weights too large"):
        synthesise(build_generator(huge | {name: huge[name] * 1e7}), z, RenderConfig())
    for name in ("mapping.fc0.weight", "mapping.fc1.weight"):
        huge[name] = huge[name] * 1e33
    with pytest.raises(InputError, match=r"too large|overflows"):
        synthesise(build_generator(huge, lr_multiplier=9e5), z, RenderConfig())


def test_a_latent_of_the_wrong_shape_is_refused(small_generator) -> None:
    with pytest.raises(InputError, match="8 finite numbers"):
        synthesise(small_generator, np.zeros(9), RenderConfig())
    with pytest.raises(InputError, match="8 finite numbers"):
        synthesise(small_generator, np.full(8, np.nan), RenderConfig())


def test_layers_read_the_ws_that_nvidia_counts() -> None:
    layers = arch.synthesis_layers((8, 8, 8, 8))
    assert [layer.w_index for layer in layers if layer.kind == "conv"] == list(range(7))
    assert [layer.w_index for layer in layers if layer.kind == "rgb"] == [1, 3, 5, 7]
    assert arch.num_ws(32) == 8
