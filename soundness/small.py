"""The small model of tests/conftest.py, for tests of this folder and for scripts."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
CHAIN_TESTS = ROOT / "tests" / "chain"


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


# Under a name of its own: pytest calls every conftest of a folder without __init__.py "conftest".
fixtures = _load("huref_tests_conftest", ROOT / "tests" / "conftest.py")
Chain, TOKENS = fixtures.Chain, fixtures.TOKENS
write_model, write_generator = fixtures.write_model, fixtures.write_generator

if str(CHAIN_TESTS) not in sys.path:
    sys.path.append(str(CHAIN_TESTS))  # for `tampering` and `cheats`, what those tests share
