"""The one error tree. Every failure a user can cause or meet is a HurefError.

A message is one line: what is wrong, and what to do about it. The command line prints it and exits
with the class's ``exit_code``; nothing below this tree is ever shown as a traceback.
"""

from __future__ import annotations


class HurefError(Exception):
    """Base of all errors this package raises on purpose."""

    exit_code = 2


class InputError(HurefError):
    """Bad input or usage: a malformed file, an unknown option, a model that is not one (exit 2)."""


class EnvironmentLacks(HurefError):
    """The machine lacks something: an SRS, a key, memory, an optional package (exit 3)."""

    exit_code = 3


class NotValid(HurefError):
    """A well-formed claim that is false: verification refused it (exit 1)."""

    exit_code = 1


class StepFailed(NotValid):
    """Verification refused the claim at one numbered step (exit 1)."""

    def __init__(self, step: int, message: str, name: str = ""):
        super().__init__(message)
        self.step, self.name = step, name
