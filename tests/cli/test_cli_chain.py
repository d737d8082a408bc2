"""The command line end to end: exit codes, --json, --quiet, and what is on disk afterwards."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from huref_zk.cli import COMMANDS, main
from huref_zk.commitment.file import serialise
from huref_zk.native import ezkl as runner
from huref_zk.render import generator as generator_module
from huref_zk.render.image import read_png, write_png
from huref_zk.srs.trust import find_srs

COUNT = ("--count", 64)
OTHER_SEED = "11" * 32
CAPTURE: dict = {"capture_output": True, "text": True, "check": False, "timeout": 60}


def run(*arguments: object, expect: int | None = None) -> Result:
    """One command in this process; anything but a clean exit, or a traceback, fails the test."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.stdout + result.stderr
    if expect is not None:
        assert result.exit_code == expect, result.stdout + result.stderr
    return result


def listing(folder: Path) -> dict[str, str]:
    """Every file and folder below ``folder`` with a digest of its content."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        if p.is_file()
        else "folder"
        for p in folder.rglob("*")
    }


def check_error(result: Result, code: int, words: str) -> None:
    """A plain failure: its code, and one line on stderr that says what is wrong."""
    assert result.exit_code == code, result.stdout + result.stderr
    assert result.stdout == ""
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ") and words in last


@pytest.fixture(scope="session")
def model(chain) -> Path:
    return chain.bundle_file.parent / "model"


@pytest.fixture(scope="session")
def secret_file(chain) -> Path:
    path = chain.bundle_file.parent / "secret.key"
    path.write_bytes(chain.secret)
    return path


@pytest.fixture(scope="session")
def bare_cache(chain, tmp_path_factory) -> Path:
    """A key folder with the SRS but no keys."""
    folder = tmp_path_factory.mktemp("bare")
    shutil.copy(chain.srs.path, folder)
    assert find_srs(chain.srs.k, folder).sha256 == chain.srs.sha256
    return folder


@pytest.fixture(scope="session")
def vector_file(chain, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("vector") / "v.json"
    path.write_text(json.dumps({"v": list(chain.bundle.v)}))
    return path


@pytest.fixture
def no_embedded_generator(monkeypatch, tmp_path):
    """As if the package had been installed without its generator."""
    monkeypatch.setattr(generator_module, "EMBEDDED_PATH", tmp_path / "none.safetensors")
    generator_module._embedded.cache_clear()
    yield
    generator_module._embedded.cache_clear()


@pytest.fixture
def arguments(chain, model, secret_file, vector_file, tmp_path):
    """command -> arguments with which it succeeds, writing to tmp_path only."""
    keys, drawing = ("--keys", chain.cache), ("--generator", chain.generator_file)
    return {
        "setup": (model, *keys, *COUNT),
        "fingerprint": (model, "--out", tmp_path / "fp.png", *drawing, *COUNT),
        "commit": (model, "--out", tmp_path / "out", *keys, *COUNT),
        "prove": (
            *(model, "--commitment", chain.commitment_file, "--secret", secret_file),
            *("--out", tmp_path / "p.hzp", "--image", tmp_path / "p.png"),
            *(*keys, *drawing, *COUNT),
        ),
        "verify": (
            *(chain.bundle_file, "--commitment", chain.commitment_file),
            *("--image", chain.image_file, "--allow-test-setup", *keys, *drawing),
        ),
        "inspect": (chain.bundle_file,),
        "render": (vector_file, "--out", tmp_path / "r.png", *drawing),
        "sheet": (chain.image_file, vector_file, "--out", tmp_path / "s.png", *drawing),
    }


QUICK = ("setup", "fingerprint", "commit", "verify", "inspect", "render", "sheet")


# --- the chain -----------------------------------------------------------------------------------


def test_from_model_to_verified_picture(chain, model, tmp_path) -> None:
    """commit, prove, inspect, verify by commands alone; then the picture of another seed fails."""
    keys, drawing = ("--keys", chain.cache), ("--generator", chain.generator_file)
    out = tmp_path / "owner"
    made = json.loads(run("commit", model, "--out", out, *keys, *COUNT, "--json", expect=0).stdout)
    assert sorted(p.name for p in out.iterdir()) == ["commitment.hzc", "secret.key"]
    files = ("--commitment", out / "commitment.hzc", "--secret", out / "secret.key")
    targets = ("--out", tmp_path / "fp.hzp", "--image", tmp_path / "fp.png")
    rest = (*keys, *drawing, *COUNT)
    done = run("prove", model, *files, *targets, *rest, "--json", expect=0)
    assert done.stderr == ""
    assert json.loads(done.stdout) == {
        "bundle": str(tmp_path / "fp.hzp"),
        "image": str(tmp_path / "fp.png"),
        "root": made["root"],
    }
    shown = json.loads(run("inspect", tmp_path / "fp.hzp", "--json", expect=0).stdout)
    assert shown["recomputed_root"] == shown["bundle"]["root"] == made["root"]

    check = (*keys, *drawing, "--allow-test-setup")
    good = ("--commitment", made["root"], "--image", tmp_path / "fp.png")
    run("verify", tmp_path / "fp.hzp", *good, *check, expect=0)
    # The fingerprint command draws the same picture, and another one under another seed.
    seeded = ("--seed", OTHER_SEED, *drawing, *COUNT)
    run("fingerprint", model, "--out", tmp_path / "same.png", *drawing, *COUNT, expect=0)
    run("fingerprint", model, "--out", tmp_path / "other.png", *seeded, expect=0)
    assert np.array_equal(read_png(tmp_path / "same.png"), read_png(tmp_path / "fp.png"))
    wrong = ("--commitment", made["root"], "--image", tmp_path / "other.png")
    check_error(run("verify", tmp_path / "fp.hzp", *wrong, *check, "--quiet"), 1, "pixels")


# --- exit code 0, --json, --quiet ----------------------------------------------------------------


@pytest.mark.parametrize("command", QUICK)
def test_success_as_json(command: str, arguments) -> None:
    done = run(command, *arguments[command], "--json", expect=0)
    assert done.stderr == ""
    data = json.loads(done.stdout)
    assert isinstance(data, dict) and data and "error" not in data


@pytest.mark.parametrize("command", QUICK)
def test_quiet_success_prints_nothing(command: str, arguments) -> None:
    done = run(command, *arguments[command], "--quiet", expect=0)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("command", QUICK)
def test_success_in_words(command: str, arguments) -> None:
    assert run(command, *arguments[command], expect=0).stdout.strip()


# --- help and usage ------------------------------------------------------------------------------


def test_help_lists_every_command() -> None:
    text = run("--help", expect=0).stdout
    assert all(f"\n  {name} " in text for name in COMMANDS)
    assert run("-h", expect=0).stdout == text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    text = run(command, "--help", expect=0).stdout
    assert f"huref-zk {command}" in text.replace("main", "huref-zk")
    # A group's options are its subcommands'.
    assert ("--json" in text and "--quiet" in text) != ("COMMAND [ARGS]" in text)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_option_is_a_usage_error(command: str) -> None:
    assert "--nonsense" in run(command, "--nonsense", expect=2).stderr
    as_json = run(command, "--nonsense", "--json", expect=2)
    data = json.loads(as_json.stdout)
    assert "--nonsense" in data["error"] and data["exit_code"] == 2
    assert as_json.stderr == ""


def test_an_unknown_command_is_a_usage_error() -> None:
    assert "nonsense" in run("nonsense", expect=2).stderr
    assert "nonsense" in json.loads(run("nonsense", "--json", expect=2).stdout)["error"]


def test_a_fresh_process_behaves_alike(chain) -> None:
    start = [sys.executable, "-c", "from huref_zk.cli import main; main()"]
    done = subprocess.run([*start, "inspect", str(chain.commitment_file), "--json"], **CAPTURE)
    assert done.returncode == 0
    assert json.loads(done.stdout)["recomputed_root"] == chain.commitment.root_hex
    done = subprocess.run([*start, "inspect", str(chain.image_file)], **CAPTURE)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr


# --- exit code 2: bad input ----------------------------------------------------------------------


def changed(arguments: tuple, **options: object) -> tuple:
    """``arguments`` with the values of some options replaced (out="x" for --out x)."""
    result = list(arguments)
    for name, value in options.items():
        result[result.index(f"--{name}") + 1] = value
    return tuple(result)


@pytest.mark.parametrize("command", [*QUICK, "prove"])
def test_a_missing_input_exits_with_2(command: str, arguments, tmp_path) -> None:
    bad = (tmp_path / "none", *arguments[command][1:])
    before = listing(tmp_path)
    quiet = run(command, *bad, "--quiet")
    check_error(quiet, 2, "none")
    assert len(quiet.stderr.splitlines()) == 1
    data = json.loads(run(command, *bad, "--json", expect=2).stdout)
    assert data["exit_code"] == 2 and "none" in data["error"] and data["valid"] is False
    assert listing(tmp_path) == before


@pytest.mark.parametrize("command", ["fingerprint", "render", "sheet", "prove"])
@pytest.mark.parametrize("target", ["missing folder", "file as folder", "folder as file"])
def test_an_impossible_target_is_refused_before_the_work(
    command: str, target: str, arguments, tmp_path, monkeypatch
) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    bad = {"missing folder": "none/x", "file as folder": "file/x", "folder as file": "folder"}
    before = listing(tmp_path)
    monkeypatch.setattr("huref_zk.invariants.prepare.prepare", None)  # would be a TypeError
    result = run(command, *changed(arguments[command], out=tmp_path / bad[target]))
    check_error(result, 2, bad[target].removesuffix("/x"))
    assert listing(tmp_path) == before


def test_fingerprint_and_prove_check_their_second_target_too(arguments, tmp_path) -> None:
    bad = tmp_path / "none" / "x"
    check_error(run("fingerprint", *arguments["fingerprint"], "--vector", bad), 2, "none")
    check_error(run("prove", *changed(arguments["prove"], image=bad)), 2, "none")
    assert listing(tmp_path) == {}
    good = tmp_path / "v.json"
    run("fingerprint", *arguments["fingerprint"], "--vector", good, expect=0)
    assert len(json.loads(good.read_text())["v"]) == 512


def test_an_impossible_key_folder_is_named(arguments, tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    # prove makes nothing in it, so to prove it is only a folder without an SRS.
    for command, code in (("setup", 2), ("commit", 2), ("verify", 2), ("prove", 3)):
        bad = changed(arguments[command], keys=tmp_path / "file")
        check_error(run(command, *bad, "--quiet"), code, str(tmp_path / "file"))
    assert sorted(listing(tmp_path)) == ["file"]


def test_a_bad_seed_is_a_usage_error(arguments) -> None:
    for seed in ("12", "zz" * 32, "11" * 33):
        assert "64 hex" in run("verify", *arguments["verify"], "--seed", seed, expect=2).stderr


def test_files_of_another_kind_are_no_commitment(chain, secret_file, tmp_path) -> None:
    for file in (chain.image_file, secret_file, chain.generator_file):
        check_error(run("inspect", file), 2, "other bytes")
    assert run("inspect", chain.commitment_file).exit_code == 0


def test_a_commitment_to_one_layer_has_no_circuit(chain, arguments, tmp_path) -> None:
    """Its columns would be half of those that the circuit reads."""
    one = replace(chain.commitment, descriptor=chain.commitment.descriptor | {"layers": [1]})
    file = tmp_path / "one.hzc"
    file.write_bytes(serialise(one))
    check_error(run("setup", file, "--keys", chain.cache, "--quiet"), 2, "1 layers, not 2")
    file.write_bytes(serialise(chain.commitment))
    assert json.loads(run("setup", file, "--keys", chain.cache, "--json").stdout)["already"] is True


# --- exit code 3: the machine lacks something ----------------------------------------------------


@pytest.mark.parametrize("command", ["setup", "fingerprint", "commit", "prove"])
def test_without_safetensors_owners_get_exit_code_3(
    command: str, arguments, monkeypatch, tmp_path
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    check_error(run(command, *arguments[command]), 3, "pip install")
    assert json.loads(run(command, *arguments[command], "--json").stdout)["exit_code"] == 3
    assert listing(tmp_path) == {}


@pytest.mark.parametrize("command", ["fingerprint", "render", "sheet", "verify", "prove"])
def test_without_the_embedded_generator_the_exit_code_is_3(
    command: str, arguments, no_embedded_generator, tmp_path
) -> None:
    given = list(arguments[command])
    at = given.index("--generator")
    del given[at : at + 2]
    check_error(run(command, *given), 3, "--generator")
    assert listing(tmp_path) == {}


def test_without_keys_neither_prove_nor_verify_goes_on(arguments, bare_cache, tmp_path) -> None:
    result = run("verify", *changed(arguments["verify"], keys=bare_cache))
    check_error(result, 3, "huref-zk setup")
    check_error(run("prove", *changed(arguments["prove"], keys=bare_cache)), 3, "huref-zk setup")
    assert listing(tmp_path) == {}
    assert [p.suffix for p in bare_cache.iterdir()] == [".srs"]


def test_damaged_keys_are_not_used(chain, arguments, tmp_path) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(chain.cache, cache)
    vk = cache / chain.keys.folder.name / "vk"
    data = vk.read_bytes()
    vk.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    for command in ("setup", "verify"):
        check_error(run(command, *changed(arguments[command], keys=cache)), 3, "damaged")
    vk.write_bytes(data)
    for command in ("setup", "verify"):
        run(command, *changed(arguments[command], keys=cache), expect=0)


# --- exit code 1: verification refuses -----------------------------------------------------------


def refusal(*arguments: object) -> tuple[int, str]:
    """(step, message) of a verification that must refuse."""
    result = run("verify", *arguments, "--json", expect=1)
    data = json.loads(result.stdout)
    assert (data["valid"], data["exit_code"]) == (False, 1)
    return data["step"], data["error"]


def test_verify_takes_a_root_alone(chain, stranger, arguments) -> None:
    good = changed(arguments["verify"], commitment=chain.commitment.root_hex)
    report = json.loads(run("verify", *good, "--json", expect=0).stdout)
    assert report["valid"] is True
    assert [s["step"] for s in report["steps"]] == list(range(8))
    for other in (stranger.commitment.root_hex, stranger.commitment_file):
        step, message = refusal(*changed(arguments["verify"], commitment=other))
        assert step == 1 and "root" in message
    upper = changed(arguments["verify"], commitment=chain.commitment.root_hex.upper())
    run("verify", *upper, expect=0)
    short = changed(arguments["verify"], commitment=chain.commitment.root_hex[:-1])
    check_error(run("verify", *short), 2, "neither")


def test_a_test_setup_needs_permission(arguments) -> None:
    strict = [a for a in arguments["verify"] if a != "--allow-test-setup"]
    step, message = refusal(*strict)
    assert step == 2 and "TEST setup" in message
    check_error(run("verify", *strict, "--quiet"), 1, "TEST setup")
    run("verify", *strict, "--allow-test-setup", expect=0)


def test_one_pixel_decides(chain, arguments, tmp_path) -> None:
    pixels = read_png(chain.image_file)
    pixels[3, 4, 1] ^= 1
    write_png(tmp_path / "a.png", pixels)
    step, message = refusal(*changed(arguments["verify"], image=tmp_path / "a.png"))
    assert step == 6 and message.startswith("1 pixels")
    pixels[3, 4, 1] ^= 1
    write_png(tmp_path / "a.png", pixels)
    run("verify", *changed(arguments["verify"], image=tmp_path / "a.png"), expect=0)


def test_demands_are_checked(chain, arguments) -> None:
    d = chain.commitment.descriptor
    layers = ",".join(map(str, d["layers"]))
    digest = d["tokens"]["digest"]
    run("verify", *arguments["verify"], "--layers", layers, "--tokens-digest", digest, expect=0)
    for option, value in (
        ("--layers", "0,1"),
        ("--tokens-digest", "00" * 32),
        ("--seed", OTHER_SEED),
    ):
        assert refusal(*arguments["verify"], option, value)[0] == 7
    assert (
        "two layer numbers" in run("verify", *arguments["verify"], "--layers", "x", expect=2).stderr
    )


def test_a_damaged_bundle_is_refused_at_the_first_step(chain, arguments, tmp_path) -> None:
    data = chain.bundle_file.read_bytes()
    file = tmp_path / "b.hzp"
    rest = arguments["verify"][1:]
    for bad in (data[:-1], data + b"\0", b"", data[:7] + b"\2" + data[8:]):
        file.write_bytes(bad)
        assert refusal(file, *rest)[0] == 0
    file.write_bytes(data)
    run("verify", file, *rest, expect=0)


# --- setup, commit and prove: what is on disk ----------------------------------------------------


def test_repeated_setup_says_so_and_computes_nothing(chain, arguments, monkeypatch) -> None:
    before = listing(chain.cache)

    def never(call: str, **_: object) -> object:
        raise AssertionError(f"ezkl {call} was run")

    monkeypatch.setattr(runner, "run", never)
    done = run("setup", *arguments["setup"], expect=0)
    assert "already" in done.stdout and "TEST setup" in done.stdout
    data = json.loads(run("setup", *arguments["setup"], "--json", expect=0).stdout)
    assert data["already"] is True and data["vk"] == chain.keys.record.vk
    assert listing(chain.cache) == before


def test_setup_that_fails_leaves_no_keys(arguments, bare_cache, monkeypatch) -> None:
    before = listing(bare_cache)

    def fails(call: str, **_: object) -> object:
        raise runner.EzklFailed(f"ezkl {call} failed: on purpose")

    monkeypatch.setattr(runner, "run", fails)
    check_error(run("setup", *changed(arguments["setup"], keys=bare_cache)), 3, "on purpose")
    assert listing(bare_cache) == before


def test_the_secret_is_private_and_never_overwritten_unasked(arguments, tmp_path) -> None:
    secret, public = (tmp_path / "out" / name for name in ("secret.key", "commitment.hzc"))
    run("commit", *arguments["commit"], expect=0)
    first = secret.read_bytes()
    assert secret.stat().st_mode & 0o777 == 0o600 and len(first) == 32
    before = listing(tmp_path)
    check_error(run("commit", *arguments["commit"]), 2, "--force")
    public.unlink()  # the key alone is reason enough
    check_error(run("commit", *arguments["commit"]), 2, "--force")
    assert secret.read_bytes() == first
    run("commit", *arguments["commit"], "--force", expect=0)
    assert secret.stat().st_mode & 0o777 == 0o600
    after = listing(tmp_path)
    assert after.keys() == before.keys()
    assert after["out/secret.key"] != before["out/secret.key"]
    assert after["out/commitment.hzc"] != before["out/commitment.hzc"]


def test_commit_to_an_impossible_place_writes_nothing(arguments, tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "taken" / "commitment.hzc").mkdir(parents=True)
    before = listing(tmp_path)
    monkeypatch.setattr(
        "huref_zk.invariants.prepare.prepare", None
    )  # refused before the model is read
    for out in ("file", "file/below", "taken"):
        bad = changed(arguments["commit"], out=tmp_path / out)
        check_error(run("commit", *bad, "--force"), 2, out.split("/")[0])
        assert listing(tmp_path) == before


def test_commit_that_fails_late_writes_nothing(arguments, tmp_path, monkeypatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("huref_zk.invariants.prepare.commit_model", fails)
        check_error(run("commit", *arguments["commit"]), 3, "out of memory")
    assert listing(tmp_path) == {}
    run("commit", *arguments["commit"], expect=0)


def test_prove_needs_what_belongs_together(
    chain, stranger, arguments, secret_file, tmp_path
) -> None:
    """Wrong secret, model, commitment or number of tokens: exit 2, and no file."""
    other = tmp_path / "other.key"
    other.write_bytes(b"\1" + bytes(31))
    short = tmp_path / "short.key"
    short.write_bytes(bytes(31))
    before = listing(tmp_path)
    good = arguments["prove"]
    for bad, words in (
        (changed(good, secret=other), "not one of this model under this secret"),
        (changed(good, secret=short), "31 bytes"),
        (changed(good, commitment=stranger.commitment_file), "not one of this model"),
        ((stranger.bundle_file.parent / "model", *good[1:]), "not one of this model"),
        (changed(good, count=32), "another shape|not one of this model"),
    ):
        result = run("prove", *bad, "--quiet", expect=2)
        assert any(w in result.stderr for w in words.split("|")), result.stderr
        assert listing(tmp_path) == before
