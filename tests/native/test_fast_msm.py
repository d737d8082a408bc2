"""Sums through ezkl are those of group.msm, whatever the points, and nothing worse comes of it."""

from __future__ import annotations

import json
import random
from importlib import resources

import ezkl
import onnx
import pytest

from huref_zk.curve import group
from huref_zk.curve.encoding import decode_uncompressed, encode_uncompressed
from huref_zk.curve.field import Q, R
from huref_zk.curve.group import GENERATOR, add, negate
from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.native import fast_msm
from huref_zk.native.process import Child

COUNT = 60


@pytest.fixture(scope="module")
def points():
    rng = random.Random(1)
    return group.FixedBase(GENERATOR).multiples([rng.randrange(R) for _ in range(COUNT)])


def scalars(count, bits=256, seed=2):
    rng = random.Random(seed)
    return [rng.randrange(R) >> (256 - bits) for _ in range(count)]


def cases(points):
    n = len(points)
    opposite = [points[0], negate(points[0])] * (n // 2)
    few = random.Random(3).choices([*points[:2], *map(negate, points[:2])], k=n)
    return {
        "any": (points, scalars(n)),
        "short": (points, scalars(n, 20)),
        "one point": ([points[0]] * n, scalars(n)),
        "one point, one scalar": ([points[0]] * n, [5] * n),
        "opposite, one scalar": (opposite, [12345] * n),
        "opposite": (opposite, scalars(n)),
        "few, short": (few, scalars(n, 6)),
        "infinity": ([None, *points[1:]], scalars(n)),
        "nothing but infinity": ([None] * n, scalars(n)),
        "negative, zero, large": (points[:5], [-1, 0, R, R + 3, -(2**300)]),
        "a chain": (group.FixedBase(GENERATOR).multiples(range(n)), [1] * n),
        "none": ([], []),
        # Domains of 2^k rows, of which 6 are reserved.
        **{f"{count} of 64 rows": (points[:count], scalars(count)) for count in (57, 58, 59)},
    }


@pytest.mark.parametrize("name", cases([GENERATOR] * COUNT))
def test_as_in_python(points, name, monkeypatch):
    chosen, numbers = cases(points)[name]
    expected = group.msm(chosen, numbers)
    monkeypatch.setattr(fast_msm, "MIN_POINTS", 0)
    monkeypatch.setattr(group, "msm", None)  # no falling back
    assert fast_msm.msm(chosen, numbers) == expected


def test_few_points_need_no_child(points, monkeypatch):
    monkeypatch.setattr(fast_msm, "Child", None)
    numbers = scalars(COUNT)
    assert fast_msm.msm(points, numbers) == group.msm(points, numbers)
    monkeypatch.setattr(fast_msm, "MIN_POINTS", COUNT)  # the control
    with pytest.raises(TypeError):
        fast_msm.msm(points, numbers)


def test_many_points(points):
    many = [add(p, q) for p in points[:50] for q in points[:50]]
    numbers = scalars(len(many))
    assert len(many) >= fast_msm.MIN_POINTS
    assert fast_msm.msm(many, numbers) == group.msm(many, numbers)


def test_points_off_the_curve_are_refused(points, monkeypatch):
    monkeypatch.setattr(fast_msm, "MIN_POINTS", 0)
    numbers = scalars(2)
    assert fast_msm.msm(points[:2], numbers) == group.msm(points[:2], numbers)  # the control
    for bad in ((1, 3), (0, 0), (1 + Q, 2)):
        with pytest.raises(InputError, match="not a point"):
            fast_msm.msm([points[0], bad], numbers)


def test_as_many_scalars_as_points(points):
    with pytest.raises(ValueError):
        fast_msm.msm(points, [1])


def altered(change):
    """Child.call, whose answers go through `change`: a list of three points."""
    call = Child.call

    def changed(self, *arguments):
        answer = call(self, *arguments)
        parts = [decode_uncompressed(answer[i : i + 64]) for i in range(0, len(answer), 64)]
        return b"".join(map(encode_uncompressed, change(parts)))

    return changed


@pytest.mark.parametrize(
    "change",
    [
        lambda p: [GENERATOR, p[1], p[2]],
        lambda p: [add(p[0], GENERATOR), add(p[1], GENERATOR), p[2]],
        lambda p: [p[0], negate(p[1]), p[2]],
        lambda p: [p[0], p[1], add(p[2], GENERATOR)],
        lambda p: [p[0], p[1], None],
        lambda p: [p[1], p[0], p[2]],
        lambda p: p[:2],
        lambda p: [*p, p[2]],
        lambda p: [GENERATOR] * 3,
    ],
)
def test_sums_that_do_not_fit_are_not_believed(points, change, monkeypatch):
    numbers = scalars(COUNT)
    expected = group.msm(points, numbers)
    monkeypatch.setattr(fast_msm, "MIN_POINTS", 0)
    fallen_back = []
    monkeypatch.setattr(group, "msm", lambda *_: fallen_back.append(1) or expected)
    assert fast_msm.msm(points, numbers) == expected and not fallen_back  # the control
    monkeypatch.setattr(Child, "call", altered(change))
    assert fast_msm.msm(points, numbers) == expected and fallen_back


def test_without_ezkl(points, monkeypatch):
    def lacks(*_):
        raise EnvironmentLacks("no ezkl")

    numbers = scalars(COUNT)
    monkeypatch.setattr(fast_msm, "MIN_POINTS", 0)
    monkeypatch.setattr(Child, "call", lacks)
    assert fast_msm.msm(points, numbers) == group.msm(points, numbers)


def test_the_shipped_key_can_be_made_again(tmp_path):
    """The verifying key of the smallest circuit with committed inputs, under any SRS."""
    names = [onnx.helper.make_tensor_value_info(name, 1, [1]) for name in "xy"]
    node = onnx.helper.make_node("Add", ["x", "x"], ["y"])
    graph = onnx.helper.make_graph([node], "tiny", names[:1], names[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx_file, settings, circuit, vk, pk, srs = (str(tmp_path / n) for n in "mscvpr")
    onnx.save(model, onnx_file)
    arguments = ezkl.PyRunArgs()
    arguments.input_visibility, arguments.output_visibility = "polycommit", "public"
    arguments.logrows, arguments.num_inner_cols = 6, 1
    arguments.decomp_base, arguments.decomp_legs = 4, 2
    arguments.ignore_range_check_inputs_outputs = True
    ezkl.gen_settings(onnx_file, settings, py_run_args=arguments)
    ezkl.compile_circuit(onnx_file, circuit, settings)
    (tmp_path / "r").write_bytes(fast_msm._srs(6, [GENERATOR]))
    ezkl.setup(circuit, vk, pk, srs)
    shipped = resources.files("huref_zk").joinpath("data")
    assert shipped.joinpath("msm.vk").read_bytes() == (tmp_path / "v").read_bytes()
    found = json.loads((tmp_path / "s").read_text()) | {"timestamp": 0}
    assert json.loads(shipped.joinpath("msm.settings.json").read_text()) == found
