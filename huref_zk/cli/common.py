"""What every command shares: --json, --quiet, progress bars, results, errors to exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from huref_zk.cli.outputs import check_command
from huref_zk.errors import EnvironmentLacks, HurefError, InputError, NotValid, StepFailed

TRACEBACK = "HUREF_ZK_TRACEBACK"
"""Environment variable: where it is set, unforeseen errors are shown with their traceback."""
FORMAT = 1
"""Version of the JSON that commands print; data/output.schema.json describes it."""
TEST_SETUP_NOTE = (
    "NOTE: this is a TEST setup whose secret is public: anybody can forge proofs under it. "
    "For real use put a ceremony's file into the key folder first (docs/srs.md)."
)


@dataclass(frozen=True)
class Output:
    """Results go to stdout (JSON or words), progress and errors to stderr."""

    json: bool
    quiet: bool
    started: float = field(default_factory=time.monotonic)

    def result(self, data: dict[str, Any], lines: list[str]) -> None:
        """Print ``data`` as one JSON object with --json, else ``lines`` unless --quiet."""
        if self.json:
            spent = round(time.monotonic() - self.started, 3)
            click.echo(json.dumps({**_head(), "seconds": spent, **data}, sort_keys=True))
        elif not self.quiet:
            for line in lines:
                click.echo(line)

    def say(self, line: str) -> None:
        """A word on what is going on, to stderr."""
        if not (self.quiet or self.json):
            click.echo(line, err=True)

    def warn(self, line: str) -> None:
        """A word that is also for those who asked for quiet, to stderr; JSON has a field for it."""
        if not self.json:
            click.echo(line, err=True)

    @contextlib.contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """A bar with the time that is left (a spinner until the total is known) on stderr; yields
        callback(done, total)."""
        with self._bar(what, BarColumn(), TimeElapsedColumn(), TimeRemainingColumn()) as bar:
            task = bar.add_task(what, total=None)
            if bar.disable:
                self.say(f"{what} ...")
            yield lambda done, total: bar.update(task, completed=done, total=total or None)

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
        with self._bar(what, TimeElapsedColumn()) as bar:
            task = bar.add_task(what, total=None)

            def enter(step: str) -> None:
                bar.update(task, description=f"{what}: {step}")
                if bar.disable:
                    self.say(f"{what}: {step} ...")

            yield enter

    def _bar(self, what: str, *columns: Any) -> Progress:
        console = Console(stderr=True)
        hidden = self.quiet or self.json or not console.is_terminal
        first = (SpinnerColumn(), TextColumn("{task.description}"))
        return Progress(*first, *columns, console=console, transient=True, disable=hidden)


def _head() -> dict[str, Any]:
    """What every JSON object says of itself: the form's version, and the command (of an error the
    first word of it; null where none was found)."""
    context, words = click.get_current_context(silent=True), []
    while context is not None and context.parent is not None:
        words.append(context.command.name or "")
        context = context.parent
    if context is not None and not words and context.invoked_subcommand:
        words.append(str(context.invoked_subcommand))
    return {"format": FORMAT, "command": " ".join(reversed(words)) or None}


def with_output(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --json, --quiet and ``output``, and check its output files (outputs.py).

    Stands below the decorators that add options, so that it runs after them.
    """

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
    @click.option("--quiet", is_flag=True, help="Print nothing but errors.")
    @wraps(command)
    def wrapper(*args: Any, as_json: bool, quiet: bool, **kwargs: Any) -> Any:
        check_command(click.get_current_context())
        return command(*args, output=Output(as_json, quiet), **kwargs)

    return wrapper


@contextlib.contextmanager
def failures_reported(as_json: bool) -> Iterator[None]:
    """Turn whatever goes wrong inside into one line and an exit code; click's own errors pass.

    Only a HurefError that says so means "not valid": an unforeseen error is one of this program
    or its machine, and says nothing about any file.
    """
    try:
        yield
    except HurefError as e:
        fail(e, as_json)
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except MemoryError:
        lacks = "out of memory; close other programs or use a larger machine"
        fail(EnvironmentLacks(lacks), as_json)
    except OSError as e:
        fail(_os_error(e), as_json)
    except KeyboardInterrupt:  # click would leave with 1, which means "not valid" here
        click.echo("interrupted", err=True)
        sys.exit(128 + signal.SIGINT)
    except Exception as e:
        if os.environ.get(TRACEBACK):
            traceback.print_exc()
        told = f"{type(e).__name__}: {e}"
        text = f"unforeseen error, please report it with {TRACEBACK}=1 set: {told[:300]}"
        fail(EnvironmentLacks(text), as_json)


def fail(error: HurefError, as_json: bool) -> NoReturn:
    """Report ``error`` in one line and leave with its exit code.

    In JSON "valid" is false where something was judged and refused, null where this machine could
    not judge, and absent where there was nothing to judge.
    """
    message = " ".join(str(error).split())
    try:
        if as_json:
            told = {**_head(), **_verdict(error), "error": message}
            click.echo(json.dumps(told, sort_keys=True))
        else:
            click.echo(f"error: {message}", err=True)
    except OSError:  # nobody listens any more; the exit code still tells
        pass
    _drop_unwritable_streams()
    sys.exit(error.exit_code)


def _verdict(error: HurefError) -> dict[str, Any]:
    data: dict[str, Any] = {"exit_code": error.exit_code}
    if isinstance(error, NotValid):
        data["valid"] = False
    elif error.exit_code == EnvironmentLacks.exit_code:
        data["valid"] = None
    if isinstance(error, StepFailed):
        data |= {"step": error.step, "step_name": error.name}
    return data


def _drop_unwritable_streams() -> None:
    """What a full disk or a closed pipe did not take is not tried again at exit, where Python
    would replace our exit code by its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


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
