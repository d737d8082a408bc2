"""`huref-zk verify` and the public face import none of the heavy libraries that owners need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torch",
    "transformers",
    "onnx",
    "onnxruntime",
    "gguf",
    "safetensors",
    "matplotlib",
    "scipy",
)

# Python runs a module of this name first thing in every process, so children are watched as well.
HOOK = """
import sys

HEAVY = {heavy!r}

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in HEAVY:
            raise ImportError("blocked: " + name)
        return None

sys.meta_path.insert(0, Block())
"""

RUN = """
import json, sys
from huref_zk.cli import main

try:
    main(sys.argv[1:])
finally:
    print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})), file=sys.stderr)
"""


@pytest.fixture
def blocked(tmp_path):
    """Environment in which every Python process refuses to import what is HEAVY."""
    (tmp_path / "sitecustomize.py").write_text(HOOK.format(heavy=HEAVY))
    return {"PYTHONPATH": str(tmp_path)}


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def verify(chain, **environment: str) -> tuple[int, dict, set[str]]:
    """(exit code, printed JSON, modules imported) of `huref-zk verify` on the chain's files."""
    done = python(
        "-c",
        RUN,
        "verify",
        str(chain.bundle_file),
        "--commitment",
        str(chain.commitment_file),
        "--image",
        str(chain.image_file),
        "--generator",
        str(chain.generator_file),
        "--keys",
        str(chain.cache),
        "--allow-test-setup",
        "--json",
        **environment,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), set(json.loads(done.stderr.splitlines()[-1]))


CLOSURE = 63
"""Modules of ours that `import huref_zk.proofs.picture.verify` loads: whoever audits the verifier
reads these. Change the number only with a reason."""

LOADED = """
import importlib, json, sys
for name in sys.argv[1:]:
    module, _, attribute = name.partition(":")
    module = importlib.import_module(module)
    if attribute:
        getattr(module, attribute)
print(json.dumps(sorted(sys.modules)))
"""


def loaded(*names: str) -> set[str]:
    """Modules that a fresh process has loaded after importing these, each "module[:attribute]"."""
    done = python("-c", LOADED, *names)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def ours(modules: set[str]) -> list[str]:
    return sorted(name for name in modules if name.split(".")[0] == "huref_zk")


def test_the_public_face_is_empty_until_it_is_used():
    modules = loaded("huref_zk")
    assert ours(modules) == ["huref_zk"]
    assert not modules & {"numpy", "click", "ezkl"}


def test_the_public_face_has_what_it_says():
    import huref_zk

    for name in huref_zk.__all__:
        assert getattr(huref_zk, name).__name__ == name
        assert name in dir(huref_zk)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = huref_zk.nothing
    assert (Path(huref_zk.__file__).parent / "py.typed").exists()


def test_its_verbs_load_nothing_heavy_before_they_are_called():
    import huref_zk

    verbs = [f"huref_zk:{name}" for name in huref_zk.__all__ if name != "Comparison"]
    modules = loaded(*verbs)
    assert not {name.split(".")[0] for name in modules} & set(HEAVY)
    assert "huref_zk.proofs.kernel" in modules  # the list is that of the run


def test_the_verifiers_closure():
    modules = loaded("huref_zk.proofs.picture.verify")
    assert not {name.split(".")[0] for name in modules} & set(HEAVY)
    assert len(ours(modules)) == CLOSURE, ours(modules)


def test_nothing_heavy_is_imported(chain):
    code, answer, modules = verify(chain)
    assert (code, answer["valid"], len(answer["steps"])) == (0, True, 8)
    assert modules & set(HEAVY) == set()
    assert {"huref_zk", "numpy", "click"} <= modules  # the list is that of the run


def test_it_works_where_they_cannot_be_imported(chain, blocked):
    code, answer, _ = verify(chain, **blocked)
    assert (code, answer["valid"]) == (0, True)


@pytest.mark.parametrize("name", HEAVY)
def test_the_hook_blocks(blocked, name):
    """The control: it does block, in a process and in its child, and nothing else."""
    child = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', {name!r}]))"
    for code in (f"import {name}", child.replace(repr(name), repr(f"import {name}"))):
        done = python("-c", code, **blocked)
        assert done.returncode == 1 and f"blocked: {name}" in done.stderr
    assert python("-c", "import numpy, click", **blocked).returncode == 0


def test_owners_do_import_them(blocked, tmp_path):
    """The control of the whole: what owners need is missing under the hook."""
    line = ("-c", RUN, "fingerprint", "demo-base", "--count", "64", "--vector")
    done = python(*line, str(tmp_path / "a.json"), **blocked)
    assert done.returncode == 3 and "safetensors" in done.stderr
    assert python(*line, str(tmp_path / "b.json")).returncode == 0
