"""Children are led by nothing but their installation, end when they must, and are not believed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import huref_zk
from huref_zk.errors import EnvironmentLacks
from huref_zk.native import codec, process
from huref_zk.native.process import GIB, Child
from huref_zk.native.scratch import private_folder
from tests.native import jobs
from tests.support.signals import heed

JOBS = jobs.__name__
ROOT = Path(huref_zk.__file__).parents[1]
HOSTILE = ("ezkl", "numpy", "json", "pickle", "struct", "gmpy2", "sitecustomize", "usercustomize")


@pytest.fixture
def hostile(tmp_path):
    """A folder of modules that leave a mark beside them when they are imported."""
    folder = tmp_path / "hostile"
    (folder / "huref_zk" / "native").mkdir(parents=True)
    mark = f"open({str(folder / 'mark')!r}, 'a').write(__name__ + chr(10))\n"
    for name in HOSTILE:
        (folder / f"{name}.py").write_text(mark)
    for name in ("__init__", "native/__init__", "native/child", "native/codec", "errors"):
        (folder / "huref_zk" / f"{name}.py").write_text(mark)
    return folder


def marks(folder):
    mark = folder / "mark"
    return mark.read_text().split() if mark.exists() else []


@pytest.mark.parametrize("pythonpath", [None, "", ".", "absolute"])
def test_the_current_folder_has_no_say(hostile, monkeypatch, pythonpath):
    monkeypatch.chdir(hostile)
    if pythonpath is not None:
        monkeypatch.setenv("PYTHONPATH", str(hostile) if pythonpath == "absolute" else pythonpath)
    monkeypatch.setattr(sys, "path", ["", str(hostile), *sys.path])
    with Child() as child:
        path, _, folder, found = child.call(JOBS, "surroundings", ())
    assert marks(hostile) == []
    assert "" not in path and str(hostile) not in path and folder not in path
    assert found["huref_zk"] == huref_zk.__file__
    assert all(not file.startswith(str(hostile)) for file in found.values())
    for name in ("ezkl", "numpy", "json"):  # the control: a child of another make is led astray
        subprocess.run([sys.executable, "-c", f"import {name}"], cwd=hostile, check=False)
        assert name in marks(hostile)


def test_surroundings(monkeypatch):
    monkeypatch.setenv("EZKL_KEY_FORMAT", "processed")
    monkeypatch.setenv("PYTHONSTARTUP", "x.py")
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("KEPT", "yes")
    with Child(threads=1) as child:
        _, environment, folder, _ = child.call(JOBS, "surroundings", ())
        assert folder == str(child.folder) and child.folder.exists()
    assert not child.folder.exists()
    assert not [name for name in environment if name.startswith(("PYTHON", "XDG_"))]
    assert [name for name in environment if name.startswith("EZKL_")] == ["EZKL_REPO_PATH"]
    assert "NO_PROXY" not in environment and environment["KEPT"] == "yes"
    assert environment["HTTPS_PROXY"] == environment["http_proxy"] == "http://127.0.0.1:9"
    assert environment["HOME"] == environment["TMPDIR"] == folder
    assert environment["RAYON_NUM_THREADS"] == "1"


def test_relative_paths_are_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Child() as child:
        assert child.call(JOBS, "path_of", (Path("x") / "y",)) == str(tmp_path / "x" / "y")
        assert child.call(JOBS, "path_of", (Path("/x"),)) == "/x"


def python(*words, **options):
    return subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, timeout=60, **options
    )


ASK = """
import sys
from huref_zk.native.process import Child
with Child() as child:
    print(child.call(*sys.argv[1:3], ()))
"""


def test_from_a_zip_file(tmp_path):
    """A package within an archive: child and parent run the code in there."""
    archive = shutil.make_archive(str(tmp_path / "wheel"), "zip", ROOT, "huref_zk")
    code = f"""
import sys
sys.path.insert(0, {archive!r})
import huref_zk
from huref_zk.native.process import Child
with Child() as child:
    print(huref_zk.__file__, child.call("pkgutil", "resolve_name", ("huref_zk:__file__",)))
"""
    done = python("-c", code, cwd=tmp_path)
    assert done.stdout.split() == [f"{archive}/huref_zk/__init__.py"] * 2, done.stderr


def test_in_the_users_site(tmp_path):
    """Packages of the user's own site are found, ahead of the interpreter's."""
    base = tmp_path / "base"
    environment = {**os.environ, "PYTHONUSERBASE": str(base)}
    plain = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    if not plain.exists():
        pytest.skip("no interpreter outside this virtual environment")
    where = "import site; print(site.getusersitepackages())"
    site = subprocess.run(
        [plain, "-c", where], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()
    Path(site).mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (Path(site) / "huref_zk").symlink_to(ROOT / "huref_zk")
    (Path(site) / "linked.pth").write_text(f"{elsewhere}\n")
    (elsewhere / "from_the_user.py").write_text("def word():\n    return 'found'\n")
    # A newer one of a package that the interpreter has too.
    (Path(site) / "pip").mkdir()
    (Path(site) / "pip" / "__init__.py").write_text("def word():\n    return 'newer'\n")
    options = {"env": environment, "cwd": tmp_path, "capture_output": True, "text": True}
    words = ["from_the_user", "word"]
    done = subprocess.run([plain, "-c", ASK, *words], timeout=60, **options)
    assert done.stdout.strip() == "found", done.stderr
    done = subprocess.run([plain, "-c", ASK, "pip", "word"], timeout=60, **options)
    assert done.stdout.strip() == "newer", done.stderr
    without = [plain, "-s", "-c", f"import sys; sys.path.append({str(ROOT)!r})\n{ASK}", *words]
    done = subprocess.run(without, timeout=60, **options)
    assert "No module named 'from_the_user'" in done.stderr  # where the parent has none, nor has it


def test_a_time_out():
    with Child() as child:
        assert child.call(JOBS, "square", (3,), 30) == 9
        start = time.monotonic()
        with pytest.raises(EnvironmentLacks, match=r"sleep did not end within 0.5 s"):
            child.call(JOBS, "sleep", (60,), 0.5)
        assert time.monotonic() - start < 10


def test_killed_from_outside():
    with Child() as child:
        number = child.call(JOBS, "pid", (0,))
        os.kill(number, signal.SIGKILL)
        with pytest.raises(EnvironmentLacks, match=r"SIGKILL.*memory"):
            child.call(JOBS, "square", (3,))


def test_a_limit_on_memory():
    with Child(memory=GIB // 2) as child:
        assert child.call(JOBS, "take", (10,)) == 10 << 20
        with pytest.raises(EnvironmentLacks, match=r"MemoryError.*limited to 0.5 GiB"):
            child.call(JOBS, "take", (900,))
    with Child() as child:
        assert child.call(JOBS, "take", (900,)) == 900 << 20  # the control


def limited(gigabytes, code):
    """Runs `code` where the shell allows so much address space."""
    shell = f'ulimit -v {int(gigabytes * (1 << 20))}; exec "$0" -c "$1"'
    words = ["bash", "-c", shell, sys.executable, code]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, cwd=ROOT)


def test_a_lower_limit_of_the_shell_stays():
    code = f"""
from huref_zk.errors import EnvironmentLacks
from huref_zk.native.process import Child
with Child(memory=8 << 30) as child:
    print(child.call({JOBS!r}, "take", (10,)))
    try:
        child.call({JOBS!r}, "take", (900,))
    except EnvironmentLacks as error:
        print(error)
"""
    done = limited(0.5, code)
    assert done.stdout.startswith(f"{10 << 20}\n"), done.stderr
    assert "limited to 0.5 GiB" in done.stdout


def test_a_python_without_limits(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    with Child() as child:
        assert child.call(JOBS, "square", (3,)) == 9  # the control
    with pytest.raises(EnvironmentLacks, match="cannot limit"):
        Child(memory=GIB)


def test_no_interpreter(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(EnvironmentLacks, match="cannot start a child process"):
        Child()


def alive(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child ends with its call")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGHUP", "SIGINT"])
@pytest.mark.parametrize("pool", [False, True])
def test_children_end_with_their_parent(tmp_path, name, pool):
    """Whatever ends the parent in the middle of a call; and no witness stays, once swept."""
    file = tmp_path / "where"
    call = f"child.call({JOBS!r}, 'sleep_where', ({str(file)!r}, 60))"
    code = f"from huref_zk.native.process import Child\nwith Child() as child:\n    {call}"
    if pool:
        code = (
            "from huref_zk.native.workers import run_all\nfrom tests.native.jobs import sleep_where"
            f"\nrun_all(sleep_where, [({str(file)!r}, 60)])"
        )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL, preexec_fn=heed
    )
    try:
        assert wait_until(lambda: file.exists() and "\n" in file.read_text())
        number, folder = file.read_text().split("\n")
        assert alive(number) and (Path(folder) / "witness").exists()  # the control
        parent.send_signal(getattr(signal, name))
        assert parent.wait(10) != 0
    finally:
        parent.kill()
        parent.wait()
    assert wait_until(lambda: not alive(number))
    with private_folder():
        assert not Path(folder).exists()


def fed(data):
    """What a parent makes of an answer of these bytes."""
    program = f"import sys; sys.stdin.buffer.read(8); sys.stdout.buffer.write({data!r})"
    child = Child.__new__(Child)
    child.limit, child._timed_out = 0, False
    with private_folder() as child.folder, open(child.folder / "log", "w+b") as child._log:
        child._process = subprocess.Popen(
            [sys.executable, "-I", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with child._process:
            return child.call("module", "name", ())


def framed(value):
    data = value if isinstance(value, bytes) else codec.encode(value)
    return len(data).to_bytes(8, "little") + data


@pytest.mark.parametrize(
    "answer",
    [
        framed(("result",)),
        framed(("result", 9, 9)),
        framed(["result", 9]),
        framed(("known", ["InputError"], 3)),
        framed(("known", "InputError", "text")),
        framed(9),
        framed(b"\x80\x04N."),
        framed(b""),
        (process.MAX_ANSWER + 1).to_bytes(8, "little") + bytes(100),
        b"\xff" * 100,
    ],
)
def test_nonsense_is_not_believed(answer):
    assert fed(framed(("result", 9))) == 9  # the control
    with pytest.raises(EnvironmentLacks, match="nonsense"):
        fed(answer)


@pytest.mark.parametrize("answer", [b"", b"\1", framed(("result", 9))[:-1]])
def test_half_an_answer(answer):
    with pytest.raises(EnvironmentLacks, match="died"):
        fed(answer)


@pytest.mark.parametrize(
    "names", [["OSError"], ["SystemExit", "BaseException"], [3], [], ["Child"]]
)
def test_only_our_own_errors_are_raised(names):
    with pytest.raises(EnvironmentLacks, match="text"):
        fed(framed(("known", names, "text\x1b[31m")))
