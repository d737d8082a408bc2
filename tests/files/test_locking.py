"""One writer at a time in a folder."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys

import pytest

from huref_zk.errors import InputError
from huref_zk.files import locking
from huref_zk.files.locking import locked

HOLD = """
import sys, time
from pathlib import Path
from huref_zk.files.locking import locked
with locked(Path(sys.argv[1]), "taken"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_one_at_a_time(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with locked(tmp_path / "a", "taken"):
        with pytest.raises(InputError, match=r"^taken$"), locked(tmp_path / "a", "taken"):
            pass
        with locked(tmp_path / "b", "taken"):
            pass
    with locked(tmp_path / "a", "taken"):
        pass
    assert list((tmp_path / "a").iterdir()) == []


def test_an_error_within_lets_go(tmp_path):
    with pytest.raises(ValueError), locked(tmp_path, "taken"):
        raise ValueError
    with locked(tmp_path, "taken"):
        pass


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_goes_with_its_process(tmp_path, how):
    arguments = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match="taken"), locked(tmp_path, "taken"):
            pass
        other.send_signal(how)
    with locked(tmp_path, "taken"):
        pass


def test_a_child_does_not_keep_it(tmp_path):
    with locked(tmp_path, "taken"):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with locked(tmp_path, "taken"):
            pass
    finally:
        child.communicate(b"\n")


def test_places_without_locks_keep_nobody_out(tmp_path, monkeypatch):
    def none_here(*_):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(locking.fcntl, "flock", none_here)
    with locked(tmp_path, "taken"), locked(tmp_path, "taken"):
        pass
    monkeypatch.setattr(locking, "fcntl", None)
    with locked(tmp_path, "taken"), locked(tmp_path, "taken"):
        pass


def test_a_folder_that_is_not_there(tmp_path):
    with (
        pytest.raises(InputError, match=r"cannot open .*No such file"),
        locked(tmp_path / "a", "taken"),
    ):
        pass
