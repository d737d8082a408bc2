"""The gate for outputs: nothing that is read, no two of one name, nothing but regular files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from huref_zk.cli.common import with_output
from huref_zk.cli.outputs import (
    IN,
    OUT,
    OWNER,
    OWNER_FILES,
    PICTURE,
    REFERENCE,
    Writes,
    check_outputs,
    force_option,
)
from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.files import writing
from huref_zk.files.writing import write_atomically, write_together


@click.command()
@click.argument("owner", type=OWNER)
@click.option("--model", type=REFERENCE)
@click.option("--more", type=IN, multiple=True)
@click.option("--out", type=OUT)
@click.option("--image", type=PICTURE)
@force_option
@with_output
def write(output, owner, model, more, out, image) -> None:
    for path in (out, image):
        if path is not None:
            write_atomically(path, b"new")


@pytest.fixture
def place(tmp_path) -> Path:
    """An owner's folder, a model's, and some files beside them."""
    for folder, names in (
        ("mine", (*OWNER_FILES, "fp.hzp")),
        ("model", ("config.json", "model.safetensors", "fp.png")),
    ):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).write_bytes(b"old")
    (tmp_path / "other.json").write_bytes(b"old")
    return tmp_path


REFUSED = [
    (("--out", "mine/secret.key"), "is read by this command"),
    (("--out", "mine/witness.hzw", "--force"), "is read by this command"),
    (("--out", "mine/new/../secret.key", "--force"), "is read by this command"),
    (("--model", "model", "--out", "model/model.safetensors", "--force"), "is read by"),
    (("--more", "other.json", "--out", "other.json", "--force"), "is read by this command"),
    (("--out", "a.png", "--image", "a.png"), "named twice"),
    (("--out", "mine/../a.png", "--image", "a.png"), "named twice"),
    (("--out", "other.json"), "--force replaces it"),
    (("--out", "mine"), "is a folder"),
    (("--out", "none/x"), "none is not a folder"),
    (("--out", "other.json/x"), "other.json is not a folder"),
    (("--out", "link", "--force"), "is not a regular file"),
    (("--out", "dangling", "--force"), "is not a regular file"),
    (("--out", "pipe", "--force"), "is not a regular file"),
    (("--image", "a.jpg"), "must end in .png"),
    (("--image", "png"), "must end in .png"),
    (("--out", ""), "name a file"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED)
def test_what_may_not_be_written_is_refused(place, monkeypatch, options, words):
    monkeypatch.chdir(place)
    (place / "mine/new").mkdir()
    (place / "link").symlink_to("other.json")
    (place / "dangling").symlink_to("nowhere")
    os.mkfifo(place / "pipe")
    before = {p: p.read_bytes() for p in place.rglob("*") if p.is_file()}
    done = CliRunner().invoke(write, ["mine", *options])
    told = str(done.exception) if isinstance(done.exception, InputError) else done.stderr
    assert words in told, (told, done.exception)
    assert {p: p.read_bytes() for p in place.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    "options",
    [
        ("--out", "new"),
        ("--out", "other.json", "--force"),
        ("--out", "mine/fp.hzp", "--force"),
        ("--model", "model", "--image", "model/fp.png", "--force"),
        ("--model", "model", "--image", "model/new.PNG"),
        ("--model", "no such model", "--out", "new"),
        ("--out", "a.png", "--image", "b.png"),
    ],
)
def test_what_may_be_written_is(place, monkeypatch, options):
    monkeypatch.chdir(place)
    done = CliRunner().invoke(write, ["mine", *options])
    assert done.exit_code == 0, done.output + repr(done.exception)
    assert Path(options[-1] if options[-1] != "--force" else options[-2]).read_bytes() == b"new"


def test_dash_is_no_file(place, monkeypatch):
    monkeypatch.chdir(place)
    assert "name a file" in CliRunner().invoke(write, ["mine", "--out", "-"]).stderr
    assert not (place / "-").exists()


def test_a_hard_link_to_an_input_is_that_input(place):
    os.link(place / "other.json", place / "again.json")
    with pytest.raises(InputError, match="is read"):
        check_outputs([place / "again.json"], [place / "other.json"], force=True)
    os.link(place / "mine/fp.hzp", place / "twice.hzp")
    with pytest.raises(InputError, match="named twice"):
        check_outputs([place / "mine/fp.hzp", place / "twice.hzp"], force=True)
    check_outputs([place / "again.json", place / "twice.hzp"], force=True)  # the control


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs a device")
def test_a_device_is_never_replaced():
    for name in ("/dev/null", "/dev/stdout"):
        with pytest.raises(InputError, match="not a regular file"):
            check_outputs([Path(name)], force=True)


def test_suffixes_are_named():
    with pytest.raises(click.BadParameter, match=r"must end in \.html or \.htm"):
        Writes(".html", ".htm").convert("r.txt", None, None)
    assert Writes(".html").convert("r.HTML", None, None) == Path("r.HTML")


# --- several files, all or none ------------------------------------------------------------------


def test_files_are_written_together_or_not_at_all(tmp_path, monkeypatch):
    a, b = tmp_path / "a", tmp_path / "b"
    write_together({a: b"1", b: b"2"})
    assert (a.read_bytes(), b.read_bytes()) == (b"1", b"2")
    a.unlink()
    true = writing.write_atomically

    def full(path, data, mode=0o644):
        if Path(path) == b:
            raise EnvironmentLacks("no room")
        true(path, data, mode)

    monkeypatch.setattr(writing, "write_atomically", full)
    with pytest.raises(EnvironmentLacks):
        write_together({a: b"3", b: b"4"})
    assert not a.exists() and b.read_bytes() == b"2"


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, EnvironmentLacks), (errno.EACCES, InputError)]
)
def test_a_full_disk_is_the_machines_fault(tmp_path, monkeypatch, number, kind):
    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(writing.os, "replace", fails)
    with pytest.raises(kind, match="cannot write"):
        write_atomically(tmp_path / "a", b"1")
    assert list(tmp_path.iterdir()) == []
