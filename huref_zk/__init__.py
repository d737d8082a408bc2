"""huref_zk: a picture that fingerprints a large language model, and a proof that it is honest.

The public face: the names in ``__all__``. Each is loaded when it is first used, so that a verifier
never imports what only owners need. All other modules are private.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from huref_zk.api import Fingerprint as Fingerprint
    from huref_zk.api import Proven as Proven
    from huref_zk.api import commit as commit
    from huref_zk.api import compare as compare
    from huref_zk.api import fingerprint as fingerprint
    from huref_zk.api import prepare as prepare
    from huref_zk.api import prove as prove
    from huref_zk.api import verify as verify
    from huref_zk.commitment.file import Commitment as Commitment
    from huref_zk.comparison.comparison import Comparison as Comparison
    from huref_zk.errors import EnvironmentLacks as EnvironmentLacks
    from huref_zk.errors import HurefError as HurefError
    from huref_zk.errors import InputError as InputError
    from huref_zk.errors import NotValid as NotValid
    from huref_zk.errors import StepFailed as StepFailed
    from huref_zk.proofs.kernel import Policy as Policy
    from huref_zk.proofs.kernel import Report as Report
    from huref_zk.proofs.kernel import Setup as Setup
    from huref_zk.proofs.kernel import Step as Step

_HOMES = {
    "huref_zk.api": (
        "Fingerprint",
        "Proven",
        "commit",
        "compare",
        "fingerprint",
        "prepare",
        "prove",
        "verify",
    ),
    "huref_zk.commitment.file": ("Commitment",),
    "huref_zk.comparison.comparison": ("Comparison",),
    "huref_zk.errors": (
        "EnvironmentLacks",
        "HurefError",
        "InputError",
        "NotValid",
        "StepFailed",
    ),
    "huref_zk.proofs.kernel": ("Policy", "Report", "Setup", "Step"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
