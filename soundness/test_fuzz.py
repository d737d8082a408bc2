"""Bytes that nobody meant: every parser refuses or accepts them, in bounded time and memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

from huref_zk.errors import HurefError
from soundness import ROOT
from soundness.fuzz.mutate import header_span, mutate
from soundness.fuzz.parsers import PARSERS
from soundness.fuzz.run import attempt, bounded, crashers, plain
from soundness.record import control, refusal

RUNS = {"light": 300, "heavy": 5000}
"""Mutations of each parser's honest files; of slow ones as many fewer as they are slower."""


@pytest.mark.parametrize("half", ["light", pytest.param("heavy", marks=pytest.mark.heavy)])
@pytest.mark.parametrize("name", PARSERS)
def test_mutations(name, half, tmp_path):
    """The same mutations every time; honest files are accepted before them."""
    seen = plain(name, max(20, RUNS[half] // PARSERS[name].slow), 0, tmp_path)
    assert seen.keys() & {"InputError", "StepFailed"}, seen


def test_the_command():
    command = [sys.executable, "-m", "soundness.fuzz.run", "json", "--runs", "20"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "InputError" in done.stdout and "0 parsers failed" in done.stdout


@pytest.mark.parametrize("name", PARSERS)
def test_nothing_that_once_crashed_does_so_again(name, tmp_path):
    parser = PARSERS[name]
    for start in parser.seeds(tmp_path):
        assert attempt(parser, start, tmp_path) == "accepted"
    with bounded():
        for path in crashers(name):
            attempt(parser, path.read_bytes(), tmp_path)


def test_mutations_are_the_same_every_time():
    from random import Random

    data = b"HUREFZC\2\0\0\0\x07" + b'{"a":1}' + bytes(40)
    first, second = ([mutate(data, [data], r) for _ in range(300)] for r in (Random(1), Random(1)))
    assert first == second
    assert len(set(first)) > 200
    intact = [header_span(m) for m in first if header_span(m) is not None]
    assert len(intact) > 100  # mutated headers keep a true length


def test_a_crash_is_noticed(monkeypatch, tmp_path):
    """The fuzzer's own control: a parser that lets another exception out, hangs, or hoards."""
    from dataclasses import replace

    from soundness.fuzz import run as runner

    monkeypatch.setattr(runner, "CORPUS", tmp_path / "corpus")
    monkeypatch.setattr(runner, "TIME", 1)
    honest = PARSERS["json"]

    def hang(data):
        while data:
            pass

    faults = {
        KeyError: lambda data: {}[data],
        runner.TooSlow: hang,
        MemoryError: lambda data: bytearray(3 << 30),
    }
    for error, fault in faults.items():

        def read(data, folder, fault=fault):
            return honest.read(data, folder) if data in honest.seeds(folder) else fault(data)

        monkeypatch.setitem(PARSERS, "json", replace(honest, read=read))
        with pytest.raises(error):
            runner.plain("json", 5, 0, tmp_path)
        assert len(runner.crashers("json")) == 1
        runner.crashers("json")[0].unlink()
    monkeypatch.setitem(PARSERS, "json", honest)
    assert runner.plain("json", 50, 0, tmp_path)
    assert runner.crashers("json") == []


@pytest.mark.parametrize("name", PARSERS)
def test_one_zero_and_many(name, tmp_path):
    parser = PARSERS[name]
    start = parser.seeds(tmp_path)[0]
    for data in (b"\0", b"\0" * 100_000):
        with refusal(error=HurefError):
            parser.read(data, tmp_path)
    with control():
        parser.read(start, tmp_path)
