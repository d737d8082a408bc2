"""The one gate for everything that a command writes.

Commands declare their files by these option types; `with_output` (common.py) takes all of them
through `check_outputs` before the command begins, so that nothing is refused after minutes of work
and no command can forget it:

- an output is never an input, nor inside an owner's or a model's files, nor another output;
- it is a new file or, with --force, a regular one: no folder, link, pipe or device is replaced;
- a picture is named `.png`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from huref_zk.errors import InputError

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # older releases of click do not subscript it

FORCED = "huref_zk.cli.outputs.forced"
OWNER_FILES = ("commitment.hzc", "secret.key", "witness.hzw", "journal")
_NEVER_OF_A_MODEL = (".png", ".html", ".hzp", ".hzs", ".hzo", ".hza", ".hzf")


class Reads(click.Path):
    """A file that is read."""

    def __init__(self, **options: Any):
        super().__init__(path_type=Path, **options)

    def files(self, value: Any) -> Iterator[Path]:
        """What must not be written to."""
        yield Path(value)


class OwnerFolder(Reads):
    """A folder that `commit` made."""

    def files(self, value: Any) -> Iterator[Path]:
        for name in OWNER_FILES:
            yield Path(value) / name


class Reference(ParamType):
    """A text that may name a file: a model, or a commitment file or its root."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def files(self, value: Any) -> Iterator[Path]:
        """The file of this name, or what a model in the folder of this name may consist of."""
        path = Path(value)
        if path.is_dir():
            yield from (
                file for file in path.iterdir() if file.suffix.lower() not in _NEVER_OF_A_MODEL
            )
        else:
            yield path


class Writes(ParamType):
    """A file to write. suffixes: the ones it may have, all if there are none."""

    name = "file"

    def __init__(self, *suffixes: str):
        self.suffixes = suffixes

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        if str(value) in ("", "-") or path.name in ("", ".."):
            self.fail("name a file to write", param, ctx)
        if self.suffixes and path.suffix.lower() not in self.suffixes:
            self.fail(f"{path}: the name must end in {' or '.join(self.suffixes)}", param, ctx)
        return path


IN = Reads()
OWNER = OwnerFolder()
REFERENCE = Reference()
OUT = Writes()
PICTURE = Writes(".png")


def _note_force(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    ctx.meta[FORCED] = value


force_option = click.option(
    "--force",
    is_flag=True,
    expose_value=False,
    callback=_note_force,
    help="Replace the output files where they exist.",
)


def check_command(ctx: click.Context) -> None:
    """check_outputs for the parameters of the command that is about to run. InputError."""
    outputs: list[Path] = []
    inputs: list[Path] = []
    for param in ctx.command.params:
        value = ctx.params.get(param.name or "")
        if value is None:
            continue
        several = param.multiple or param.nargs != 1
        for item in value if several else (value,):
            if isinstance(param.type, Writes):
                outputs.append(item)
            elif isinstance(param.type, (Reads, Reference)):
                inputs += param.type.files(item)
    if outputs:
        check_outputs(outputs, inputs, force=bool(ctx.meta.get(FORCED)))


def check_outputs(
    outputs: Iterable[Path],
    inputs: Iterable[Path] = (),
    *,
    force: bool = False,
    make_folders: bool = False,
) -> None:
    """Refuse ``outputs`` that may not be written; see the module's head. InputError.

    force: existing regular files may be replaced. make_folders: folders may be missing as long as
    they can be made.
    """
    read = [path for path in inputs if path.exists()]
    seen: dict[Path, Path] = {}
    for output in outputs:
        for path in read:
            if _same(output, path):
                raise InputError(f"{output} is read by this command; write to another file")
        _check_place(output, force, make_folders)
        place = output.parent.resolve() / output.name
        if place in seen or any(_same(output, other) for other in seen.values()):
            raise InputError(f"{output} is named twice; each output needs a file of its own")
        seen[place] = output


def _check_place(path: Path, force: bool, make_folders: bool) -> None:
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        mode = None
    except OSError as e:
        raise InputError(f"cannot write {path}: {e.strerror}") from e
    if mode is not None:
        if stat.S_ISDIR(mode):
            raise InputError(f"{path} is a folder; name a file to write")
        if not stat.S_ISREG(mode):
            raise InputError(f"{path} is not a regular file, so it is not replaced")
        if not force:
            raise InputError(f"{path} exists; --force replaces it")
    folder = path.parent
    if make_folders:
        folder = next(f for f in path.absolute().parents if f.exists())
    if not folder.is_dir():
        raise InputError(f"cannot write {path}: {folder} is not a folder")
    if not os.access(folder, os.W_OK):
        raise InputError(f"cannot write {path}: {folder} is not writable")


def _same(a: Path, b: Path) -> bool:
    try:
        return os.path.samefile(a, b)
    except OSError:
        return False
