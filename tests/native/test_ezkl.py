"""Single calls of ezkl in children: what comes back, and which error each way to fail is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import onnx
import pytest

from huref_zk.errors import EnvironmentLacks
from huref_zk.native import ezkl, process
from huref_zk.native.ezkl import GIB, EzklFailed, run

ROOT = Path(ezkl.__file__).parents[2]


def model(path):
    names = [onnx.helper.make_tensor_value_info(name, 1, [1]) for name in "xy"]
    node = onnx.helper.make_node("Add", ["x", "x"], ["y"])
    graph = onnx.helper.make_graph([node], "tiny", names[:1], names[1:])
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    made.ir_version = 8
    onnx.save(made, str(path))
    return path


def settings(folder, **limits):
    """ezkl's settings for a tiny model, written to a file in `folder`."""
    output = folder / "settings.json"
    output.unlink(missing_ok=True)
    arguments = {"logrows": 6, "input_visibility": "public", "num_inner_cols": 1}
    done = run(
        "gen_settings",
        model=model(folder / "tiny.onnx"),
        output=output,
        py_run_args=arguments,
        **limits,
    )
    assert output.exists()
    return done


def test_a_call(tmp_path, monkeypatch):
    assert settings(tmp_path, memory=8 * GIB, timeout=60) is True
    monkeypatch.chdir(tmp_path)
    assert settings(Path("."))  # relative paths, though the child is elsewhere


def test_what_ezkl_itself_reports(tmp_path):
    output = tmp_path / "settings.json"
    with pytest.raises(EzklFailed, match=r"ezkl gen_settings failed: RuntimeError.*nothing\.onnx"):
        run("gen_settings", model=tmp_path / "nothing.onnx", output=output)
    with pytest.raises(EzklFailed, match="TypeError"):
        run("gen_settings", no_such=3)
    assert settings(tmp_path)  # the control


def test_a_panic(tmp_path):
    arguments = {"logrows": 6, "input_visibility": "public", "num_inner_cols": 0}
    names = {"model": model(tmp_path / "tiny.onnx"), "output": tmp_path / "settings.json"}
    with pytest.raises(EzklFailed, match="PanicException: attempt to calculate"):
        run("gen_settings", py_run_args=arguments, **names)
    assert run("gen_settings", py_run_args={**arguments, "num_inner_cols": 1}, **names)


def test_no_such_call():
    with pytest.raises(EnvironmentLacks, match="unknown call get_hub_credentials"):
        run("get_hub_credentials")


def test_too_little_memory(tmp_path):
    assert settings(tmp_path, memory=1 * GIB)  # the control
    with pytest.raises(EnvironmentLacks, match=r"memory; it is limited to 0\.0293 GiB"):
        settings(tmp_path, memory=30 << 20)


def test_an_abort_is_no_refusal(tmp_path, monkeypatch):
    """Rust aborts where an allocation fails: we say that, and not that a proof is wrong."""
    start = process.Child.call

    def call(self, module, name, arguments, timeout=None, what=""):
        return start(self, "os", "abort", (), timeout, what)

    assert settings(tmp_path)  # the control
    monkeypatch.setattr(process.Child, "call", call)
    with pytest.raises(EnvironmentLacks, match=r"ezkl gen_settings died \(SIGABRT"):
        settings(tmp_path)


def test_a_time_out(tmp_path):
    start = time.monotonic()
    with pytest.raises(EnvironmentLacks, match=r"ezkl gen_settings did not end within 0\.01 s"):
        settings(tmp_path, timeout=0.01)
    assert time.monotonic() - start < 10
    assert settings(tmp_path, timeout=60)  # the control


@pytest.mark.parametrize(
    ("text", "lacks"),
    [
        ("memory allocation of 8 bytes failed", True),
        ("[io] Cannot allocate memory (os error 12)", True),
        ("No space left on device (os error 28)", True),
        ("ThreadPoolBuildError { kind: IOError(..) }", True),
        ("No such file or directory (os error 2)", False),
        ("[halo2] the proof is invalid", False),
    ],
)
def test_which_reports_speak_of_the_machine(text, lacks, monkeypatch):
    monkeypatch.setattr(process.Child, "call", lambda *_: ("failed", text))
    with pytest.raises(EnvironmentLacks if lacks else EzklFailed, match=r"os error|Thread|failed"):
        run("verify")


def test_without_ezkl(tmp_path):
    """In a Python that has none: said, with what to do."""
    plain = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    if not plain.exists() or sys.prefix == sys.base_prefix:
        pytest.skip("no interpreter outside this virtual environment")
    code = f"""
import sys
sys.path.append({str(ROOT)!r})
from huref_zk.errors import EnvironmentLacks
from huref_zk.native.ezkl import run
try:
    run("verify")
except EnvironmentLacks as error:
    print(error)
"""
    (tmp_path / "ezkl.py").write_text("def verify():\n    return True\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [plain, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert "ezkl cannot be imported" in done.stdout and "pip install" in done.stdout, done.stderr


def test_a_false_ezkl_beside_the_files(tmp_path, monkeypatch):
    """What made a false bundle VALID once: an ezkl.py that answers True to everything."""
    (tmp_path / "ezkl.py").write_text("def verify(**_):\n    return True\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")
    paths = {name: tmp_path / name for name in ("proof_path", "settings_path", "vk_path")}
    astray = subprocess.run(
        [sys.executable, "-c", "import ezkl; print(ezkl.verify())"], capture_output=True, text=True
    )
    assert astray.stdout.strip() == "True"  # the control
    with pytest.raises(EzklFailed, match="No such file"):
        run("verify", **paths)
