import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from huref_zk.native import scratch
from huref_zk.native.scratch import private_folder, sweep
from tests.support.signals import heed

HOLD = """
import sys, time
from pathlib import Path
from huref_zk.native.scratch import private_folder
with private_folder("kept-", parent=Path(sys.argv[1])) as folder:
    (folder / "witness").write_text("secret")
    print(folder, flush=True)
    time.sleep(60)
"""


def hold(parent):
    """A process that holds a private folder, and the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(parent)],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=heed,
    )
    return process, Path(process.stdout.readline().strip())


def finish(process):
    process.stdout.close()
    return process.wait(10)


def test_private_and_gone(tmp_path):
    with private_folder("x-", parent=tmp_path) as folder:
        assert folder.parent == tmp_path and folder.name.startswith(f"x-{os.getpid()}-")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_bytes(b"1")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RuntimeError), private_folder("x-", parent=tmp_path):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_the_folders_of_the_living_stay_and_those_of_the_dead_go(tmp_path):
    process, folder = hold(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "kept-file").write_text("no folder")
    try:
        with private_folder("kept-", parent=tmp_path):
            assert (folder / "witness").exists()  # the control
        assert sweep(tmp_path, "kept-") == []
    finally:
        process.kill()
        finish(process)
    assert (folder / "witness").exists()  # a killed process cannot tidy up
    with private_folder("kept-", parent=tmp_path):
        assert not folder.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kept-file", "other"]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_leaves_nothing(tmp_path, name):
    process, folder = hold(tmp_path)
    assert folder.exists()
    process.send_signal(getattr(signal, name))
    assert finish(process) != 0
    assert list(tmp_path.iterdir()) == []


def test_signal_handlers_are_put_back_and_others_respected(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with private_folder(parent=tmp_path):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with private_folder(parent=tmp_path):
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_folder_without_its_lock_is_dead_only_when_old(tmp_path):
    young, old = tmp_path / "x-1", tmp_path / "x-2"
    young.mkdir()
    old.mkdir()
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    assert sweep(tmp_path, "x-") == [old]
    assert young.exists() and not old.exists()


def test_a_link_is_not_followed(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    (target / scratch.LOCK).touch()
    (tmp_path / "x-link").symlink_to(target)
    twin = tmp_path / "x-twin"
    twin.mkdir()
    (twin / scratch.LOCK).touch()
    assert sweep(tmp_path, "x-") == [twin]  # the control: a folder goes
    assert target.exists()


def test_others_folders_are_left_alone(tmp_path, monkeypatch):
    folder = tmp_path / "x-1"
    folder.mkdir()
    (folder / scratch.LOCK).touch()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
        assert sweep(tmp_path, "x-") == []
    assert sweep(tmp_path, "x-") == [folder]


def test_memory_where_there_is_room(tmp_path, monkeypatch):
    memory, disk = tmp_path / "memory", tmp_path / "disk"
    memory.mkdir()
    disk.mkdir()
    monkeypatch.setattr(scratch, "_places", lambda: [memory, disk])
    monkeypatch.setattr(scratch, "_free_memory", lambda: 4000)
    with private_folder(room=1000) as folder:
        assert folder.parent == memory
    with private_folder(room=1001) as folder:
        assert folder.parent == disk


def test_places():
    *_, last = scratch._places()
    with private_folder(room=1 << 60) as folder:
        assert folder.parent == last
