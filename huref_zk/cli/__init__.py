"""The `huref-zk` command line. Exit codes: 0 done, 1 not valid, 2 bad input, 3 lacks something."""

from __future__ import annotations

import importlib
import io
import sys
from typing import Any

import click

from huref_zk import __version__
from huref_zk.errors import InputError

# command -> (module, attribute): loaded on use; `verify` never imports what only owners need.
COMMANDS = {
    "setup": ("huref_zk.cli.keys", "setup"),
    "keys": ("huref_zk.cli.keys", "keys"),
    "srs": ("huref_zk.cli.srs", "srs"),
    "fingerprint": ("huref_zk.cli.owner", "fingerprint"),
    "commit": ("huref_zk.cli.owner", "commit"),
    "prove": ("huref_zk.cli.owner", "prove"),
    "prove-similarity": ("huref_zk.cli.similarity", "prove_similarity"),
    "open": ("huref_zk.cli.opening", "open_command"),
    "audit-inference": ("huref_zk.cli.audit", "audit_inference"),
    "verify": ("huref_zk.cli.verifier", "verify"),
    "challenge": ("huref_zk.cli.verifier", "challenge"),
    "inspect": ("huref_zk.cli.verifier", "inspect"),
    "recommit": ("huref_zk.cli.opening", "recommit"),
    "evm-verifier": ("huref_zk.cli.evm", "evm_verifier"),
    "compare": ("huref_zk.cli.compare", "compare"),
    "registry": ("huref_zk.cli.registry", "registry"),
    "render": ("huref_zk.cli.image", "render"),
    "sheet": ("huref_zk.cli.image", "sheet"),
    "attack": ("huref_zk.cli.attack", "attack"),
    "models": ("huref_zk.cli.models", "models"),
    "demo": ("huref_zk.cli.demo", "demo"),
}


class LazyGroup(click.Group):
    """A command group that imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["json"] = "--json" in args
        return super().parse_args(ctx, args)

    def main(self, *arguments: Any, **options: Any) -> Any:
        """As click's, but help that cannot be put together ends in one line as well, and what the
        terminal has no character for, or a file name no meaning, is written as an escape: a verdict
        must not be lost over it."""
        from huref_zk.cli.common import failures_reported

        if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
            sys.stdout.reconfigure(errors="backslashreplace")
        with failures_reported(False):
            return super().main(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """As click does, but every error of ours ends in one line and its exit code, and a wrong
        option is reported as JSON too where --json is given."""
        from huref_zk.cli.common import fail, failures_reported

        as_json = ctx.meta["json"]
        with failures_reported(as_json):
            try:
                return super().invoke(ctx)
            except click.UsageError as e:
                if not as_json:
                    raise
                fail(InputError(e.format_message()), True)


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="huref-zk")
def main() -> None:
    """Fingerprint a language model as a picture, and prove that the picture is honest.

    Owners: setup, fingerprint, commit, prove. Everybody else: verify, challenge, inspect.
    """
