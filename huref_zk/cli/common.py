"""What every command shares: --json, --quiet, progress bars, results, errors to exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from huref_zk.errors import EnvironmentLacks, HurefError, InputError, StepFailed


@dataclass(frozen=True)
class Output:
    """Results go to stdout (JSON or words), progress and errors to stderr."""

    json: bool
    quiet: bool

    def result(self, data: dict, lines: list[str]) -> None:
        """Print ``data`` as one JSON object with --json, else ``lines`` unless --quiet."""
        if self.json:
            click.echo(json.dumps(data, sort_keys=True))
        elif not self.quiet:
            for line in lines:
                click.echo(line)

    def say(self, line: str) -> None:
        """A word on what is going on, to stderr."""
        if not (self.quiet or self.json):
            click.echo(line, err=True)

    @contextlib.contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """A bar (a spinner until the total is known) on stderr; yields callback(done, total)."""
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
        )
        console = Console(stderr=True)
        hidden = self.quiet or self.json or not console.is_terminal
        if hidden:
            self.say(f"{what} ...")
        with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    @contextlib.contextmanager
    def tasks(self, what: str) -> Iterator[Callable[[str, int, int], None]]:
        """As progress, for work whose parts have names; yields ``callback(part, done, total)``."""
        heard = ""
        with self.progress(what) as update:

            def enter(part: str, done: int, total: int) -> None:
                nonlocal heard
                if part != heard:
                    heard = part
                    self.say(f"{what}: {part}")
                update(done, total)

            yield enter

    @contextlib.contextmanager
    def stages(self, what: str) -> Iterator[Callable[[str], None]]:
        """As progress, for work of unknown length in named steps; yields ``callback(step)``."""
        console = Console(stderr=True)
        hidden = self.quiet or self.json or not console.is_terminal
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
            task = bar.add_task(what, total=None)

            def enter(step: str) -> None:
                bar.update(task, description=f"{what}: {step}")
                if hidden:
                    self.say(f"{what}: {step} ...")

            yield enter


def with_output(command: Callable) -> Callable:
    """Give a command --json, --quiet and ``output``; turn HurefErrors into exit codes."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
    @click.option("--quiet", is_flag=True, help="Print nothing but errors.")
    @wraps(command)
    def wrapper(*args, as_json: bool, quiet: bool, **kwargs):
        try:
            return command(*args, output=Output(as_json, quiet), **kwargs)
        except HurefError as e:
            fail(e, as_json)
        except MemoryError:
            fail(_out_of_memory(), as_json)
        except OSError as e:
            fail(_os_error(e), as_json)
        except KeyboardInterrupt:  # click would leave with 1, which means "not valid" here
            click.echo("interrupted", err=True)
            sys.exit(128 + signal.SIGINT)

    return wrapper


def fail(error: HurefError, as_json: bool) -> None:
    """Report ``error`` in one line and leave with its exit code."""
    message = " ".join(str(error).split())
    if as_json:
        data = {"error": message, "exit_code": error.exit_code, "valid": False}
        if isinstance(error, StepFailed):
            data["step"] = error.step
        click.echo(json.dumps(data, sort_keys=True))
    else:
        click.echo(f"error: {message}", err=True)
    sys.exit(error.exit_code)


def _out_of_memory() -> HurefError:
    return EnvironmentLacks("out of memory; close other programs or use a larger machine")


def _os_error(e: OSError) -> HurefError:
    text = f"{e.filename}: {e.strerror}" if e.filename else str(e)
    kinds = (
        FileExistsError,
        FileNotFoundError,
        IsADirectoryError,
        NotADirectoryError,
        PermissionError,
    )
    return InputError(text) if isinstance(e, kinds) else EnvironmentLacks(text)


def check_targets(*paths: Path, make_folder: bool = False) -> None:
    """Refuse now, and not after minutes of work, ``paths`` that no file can be written to.

    make_folder: the files' folder may be missing, as long as it can be made. Raises InputError.
    """
    for path in paths:
        if path.is_dir():
            raise InputError(f"{path} is a folder; name a file to write")
        folder = path.parent
        if make_folder:
            folder = next(f for f in path.absolute().parents if f.exists())
        if not folder.is_dir():
            raise InputError(f"cannot write {path}: {folder} is no folder")
        if not os.access(folder, os.W_OK):
            raise InputError(f"cannot write {path}: {folder} may not be written to")


def _parse_seed(ctx: click.Context, param: click.Parameter, value: str | None) -> bytes:
    from huref_zk.invariants.sketch import PUBLIC_SEED

    if value is None:
        return PUBLIC_SEED
    try:
        seed = bytes.fromhex(value)
    except ValueError:
        seed = b""
    if len(seed) != 32:
        raise click.BadParameter("a seed is 64 hex digits")
    return seed


def parse_layers(
    ctx: click.Context | None, param: click.Parameter | None, value: str | None
) -> tuple[int, ...] | None:
    """'28,29' -> (28, 29); None stays None. Raises click.BadParameter."""
    if value is None:
        return None
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter("write two layer numbers, for example 28,29") from None


def layers_option(help_text: str) -> Callable:
    """--layers, given to the command as a tuple of numbers or None."""
    return click.option("--layers", callback=parse_layers, help=help_text)


seed_option = click.option(
    "--seed",
    callback=_parse_seed,
    help="Sketch seed, 64 hex digits; default: the one public seed, so that pictures compare.",
)
