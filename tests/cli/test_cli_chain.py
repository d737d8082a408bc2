"""The command line end to end: exit codes, --json, --quiet, and what is on disk afterwards."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from huref_zk.native import ezkl as runner
from huref_zk.proofs.kernel import STEPS
from huref_zk.render import generator as generator_module
from huref_zk.render.image import read_png, write_png
from huref_zk.srs.trust import find_srs
from tests.support.chain import TOKENS
from tests.support.commands import changed, check_error, json_of, listing, run

COUNT = ("--count", TOKENS)
OTHER_SEED = "11" * 32
QUICK = ("setup", "fingerprint", "commit", "verify", "inspect", "render", "sheet")
QUICKEST = tuple(command for command in QUICK if command != "commit")


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
def arguments(chain, vector_file, tmp_path):
    """command -> arguments with which it succeeds, writing to tmp_path only."""
    keys, drawing = ("--keys", chain.cache), ("--generator", chain.generator_file)
    return {
        "setup": (chain.model, *keys),
        "fingerprint": (chain.model, "--out", tmp_path / "fp.png", *drawing, *COUNT),
        "commit": (chain.model, "--out", tmp_path / "out", *keys, *COUNT),
        "prove": (
            *(chain.folder, "--out", tmp_path / "p.hzp", "--image", tmp_path / "p.png"),
            *(*keys, *drawing),
        ),
        "verify": (
            *(chain.bundle_file, "--commitment", chain.commitment_file),
            *("--image", chain.image_file, "--allow-test-setup", *keys, *drawing),
        ),
        "inspect": (chain.bundle_file,),
        "render": (vector_file, "--out", tmp_path / "r.png", *drawing),
        "sheet": (chain.image_file, vector_file, "--out", tmp_path / "s.png", *drawing),
    }


# --- the chain -----------------------------------------------------------------------------------


def test_from_model_to_verified_picture(chain, tmp_path) -> None:
    """commit, prove, inspect, verify by commands alone; then the picture of another seed fails."""
    keys, drawing = ("--keys", chain.cache), ("--generator", chain.generator_file)
    owner, proof, picture = (tmp_path / name for name in ("owner", "fp.hzp", "fp.png"))
    made = json_of("commit", chain.model, "--out", owner, *keys, *COUNT)
    assert sorted(p.name for p in owner.iterdir()) == [
        "commitment.hzc",
        "secret.key",
        "witness.hzw",
    ]
    targets = ("--out", proof, "--image", picture)
    proven = json_of("prove", owner, *targets, "--seed", OTHER_SEED, *keys, *drawing)
    assert proven["test_setup"] and proven["root"] == made["root"]
    assert (proven["bundle"], proven["image"]["file"]) == (str(proof), str(picture))
    assert proven["seed"] == {"class": "named", "hex": OTHER_SEED}
    shown = json_of("inspect", proof)
    assert shown["recomputed_root"] == shown["bundle"]["root"] == made["root"]

    check = ("--commitment", made["root"], *keys, *drawing, "--allow-test-setup")
    good = ("--image", picture, "--seed", OTHER_SEED)
    report = json_of("verify", proof, *check, *good)
    assert report["valid"] and report["seed"] == {"class": "named", "hex": OTHER_SEED}
    # The fingerprint command draws the same picture, and another one under the public seed.
    seeded = ("--seed", OTHER_SEED, *drawing, *COUNT)
    run("fingerprint", chain.model, "--out", tmp_path / "same.png", *seeded, expect=0)
    run("fingerprint", chain.model, "--out", tmp_path / "other.png", *drawing, *COUNT, expect=0)
    assert np.array_equal(read_png(tmp_path / "same.png"), read_png(picture))
    wrong = ("--image", tmp_path / "other.png", "--seed", OTHER_SEED)
    check_error(run("verify", proof, *check, *wrong, "--quiet"), 1, "pixels")
    check_error(run("verify", proof, *check, "--image", picture, "--quiet"), 1, "asked for")


@pytest.mark.parametrize("command", QUICK)
def test_success_as_json(command: str, arguments) -> None:
    data = json_of(command, *arguments[command])
    assert data and "error" not in data


@pytest.mark.parametrize("command", QUICKEST)
def test_quiet_success_prints_nothing(command: str, arguments) -> None:
    done = run(command, *arguments[command], "--quiet", expect=0)
    assert done.stdout == ""
    # But that a proof convinces nobody is said to whoever relies on it.
    assert ("TEST setup" in done.stderr) == (command == "verify")
    assert len(done.stderr.splitlines()) == (command == "verify")


@pytest.mark.parametrize("command", QUICKEST)
def test_success_in_words(command: str, arguments) -> None:
    assert run(command, *arguments[command], expect=0).stdout.strip()


# --- the verdict ---------------------------------------------------------------------------------


def test_the_verdict_says_what_it_is_about(chain, arguments) -> None:
    done = run("verify", *arguments["verify"], expect=0)
    told = done.stdout
    assert told.splitlines()[0] == (
        f"VALID: {chain.image_file} is the picture of what is committed to under the expected root"
    )
    for words in (
        "recipe whole (all layers in one), layers 0-2, 512 tokens learnt first",
        "recipe and tokens are NOT the standard ones",
        "it does not compare with standard fingerprints",
        "says nothing against an owner who tuned weights to it",
        "TEST setup: anybody could have made it",
    ):
        assert words in told
    steps = [line.split(": ")[0].strip() for line in done.stderr.splitlines()]
    assert steps == [f"{i} {name}" for i, (name, _) in enumerate(STEPS["picture"])]
    data = json_of("verify", *arguments["verify"])
    assert (data["valid"], data["test_setup"], data["standard"]) == (True, True, False)
    assert data["recipe"] == "whole" and data["layers"] == [0, 1, 2]
    assert data["seed"]["class"] == "public" and data["srs"]["kind"] == "test"
    assert data["image"]["compared"] and data["kind"] == "picture"
    assert [step["name"] for step in data["steps"]] == [name for name, _ in STEPS["picture"]]


def test_a_picture_need_not_be_given(chain, arguments) -> None:
    given = list(arguments["verify"])
    at = given.index("--image")
    del given[at : at + 2]
    data = json_of("verify", *given)
    assert data["valid"] and not data["image"]["compared"]
    told = run("verify", *given, expect=0).stdout
    assert f"draws a picture of digest {data['image']['digest']}" in told
    assert "none was given to compare" in told


def test_other_recipes_are_refused_unless_asked_for(last_two, chain) -> None:
    rest = (
        *("--commitment", last_two.commitment_file, "--image", last_two.image_file),
        *("--keys", last_two.cache, "--generator", last_two.generator_file, "--allow-test-setup"),
    )
    refused = json_of("verify", last_two.bundle_file, *rest, expect=1)
    assert (refused["step"], refused["step_name"]) == (7, "policy")
    assert "recipe last-two, asked for whole" in refused["error"]
    for asked in ("last-two", "any"):
        told = run("verify", last_two.bundle_file, *rest, "--recipe", asked, expect=0).stdout
        assert "recipe last-two (the paper's two layers), layers 1-2" in told
        assert "NOT the standard ones" in told


# --- exit code 1: verification refuses -----------------------------------------------------------


def refusal(*arguments: object) -> tuple[str, str]:
    """(step's name, message) of a verification that must refuse."""
    data = json_of("verify", *arguments, expect=1)
    assert (data["valid"], data["exit_code"]) == (False, 1)
    assert STEPS["picture"][data["step"]][0] == data["step_name"]
    return data["step_name"], data["error"]


def test_verify_takes_a_root_alone(chain, stranger, arguments) -> None:
    for root in (chain.commitment.root_hex, chain.commitment.root_hex.upper()):
        json_of("verify", *changed(arguments["verify"], commitment=root))
    other = changed(arguments["verify"], commitment=stranger.commitment.root_hex)
    assert refusal(*other)[0] == "commitment"


def test_refusals_name_their_step(chain, stranger, arguments, tmp_path) -> None:
    good = arguments["verify"]
    assert json_of("verify", *good)["valid"]
    untrusting = tuple(a for a in good if a != "--allow-test-setup")
    assert refusal(*untrusting)[0] == "SRS"
    assert refusal(*changed(good, commitment=stranger.commitment_file))[0] == "commitment"
    assert refusal(*changed(good, image=stranger.image_file))[0] == "image"
    pixels = read_png(chain.image_file).copy()
    pixels[3, 5, 1] ^= 1
    write_png(tmp_path / "one.png", pixels)
    step, words = refusal(*changed(good, image=tmp_path / "one.png"))
    assert step == "image" and words.startswith("1 pixels")
    for option, value in (
        ("--seed", OTHER_SEED),
        ("--recipe", "official"),
        ("--layers", "1-2"),
        ("--tokens-digest", "ab" * 32),
    ):
        assert refusal(*good, option, value)[0] == "policy", option
    assert json_of("verify", *good, "--seed", "any", "--recipe", "any")["valid"]
    digest = chain.commitment.descriptor.tokens.digest.upper()
    assert json_of("verify", *good, "--layers", "0-2", "--tokens-digest", digest)["valid"]
    (tmp_path / "cut.hzp").write_bytes(chain.bundle_file.read_bytes()[:-1])
    assert refusal(tmp_path / "cut.hzp", *good[1:])[0] == "parse"


def test_ezkl_that_fails_accuses_nobody(arguments, monkeypatch) -> None:
    """A machine that cannot judge is no verdict; the same call with a working ezkl is one."""
    from huref_zk.errors import EnvironmentLacks

    def fails(call: str, **_: object) -> None:
        raise EnvironmentLacks(f"ezkl {call} did not end within 1 s")

    with monkeypatch.context() as patch:
        patch.setattr(runner, "run", fails)
        data = json_of("verify", *arguments["verify"], expect=3)
        assert data["valid"] is None and "did not end" in data["error"]
    json_of("verify", *arguments["verify"])


# --- exit code 2: bad input ----------------------------------------------------------------------


@pytest.mark.parametrize("command", [*QUICK, "prove"])
def test_a_missing_input_exits_with_2(command: str, arguments, tmp_path) -> None:
    bad = (tmp_path / "none", *arguments[command][1:])
    before = listing(tmp_path)
    quiet = run(command, *bad, "--quiet")
    check_error(quiet, 2, "none")
    assert len(quiet.stderr.splitlines()) == 1
    data = json_of(command, *bad, expect=2)
    assert data["exit_code"] == 2 and "none" in data["error"] and "valid" not in data
    assert listing(tmp_path) == before


@pytest.mark.parametrize("command", ["fingerprint", "render", "sheet", "prove"])
@pytest.mark.parametrize("target", ["missing folder", "file as folder", "folder as file", "old"])
def test_an_impossible_target_is_refused_before_the_work(
    command: str, target: str, arguments, tmp_path, monkeypatch
) -> None:
    suffix = Path(str(arguments[command][arguments[command].index("--out") + 1])).suffix
    (tmp_path / "file").write_text("x")
    (tmp_path / f"old{suffix}").write_text("x")
    (tmp_path / f"folder{suffix}").mkdir()
    bad = {
        "missing folder": f"none/x{suffix}",
        "file as folder": f"file/x{suffix}",
        "folder as file": f"folder{suffix}",
        "old": f"old{suffix}",
    }
    before = listing(tmp_path)
    monkeypatch.setattr("huref_zk.api.fingerprint", None)  # would be a TypeError
    result = run(command, *changed(arguments[command], out=tmp_path / bad[target]))
    check_error(result, 2, bad[target].removesuffix(f"/x{suffix}"))
    assert listing(tmp_path) == before


def test_prove_never_writes_over_an_owners_files(chain, arguments, tmp_path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(chain.folder, folder)
    before = listing(tmp_path)
    (folder / "fp.hzp").write_text("old")
    good = changed((folder, *arguments["prove"][1:]))
    for name in ("secret.key", "witness.hzw", "commitment.hzc"):
        assert "must end in .hzp" in run("prove", *changed(good, out=folder / name)).stderr
    check_error(run("prove", *changed(good, out=folder / "fp.hzp")), 2, "--force replaces it")
    (folder / "fp.hzp").unlink()
    assert listing(tmp_path) == before


def test_what_does_not_belong_together_is_not_proven(chain, stranger, arguments, tmp_path) -> None:
    for name in ("secret.key", "witness.hzw", "commitment.hzc"):
        folder = tmp_path / name.replace(".", "-")
        shutil.copytree(chain.folder, folder)
        shutil.copy(stranger.folder / name, folder / name)
        bad = (folder, *arguments["prove"][1:])
        check_error(run("prove", *bad, "--quiet"), 2, "do not belong together")
    assert not (tmp_path / "p.hzp").exists() and not (tmp_path / "p.png").exists()


def test_an_impossible_key_folder_is_named(arguments, tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    for command in ("setup", "commit", "verify", "prove"):
        done = run(command, *changed(arguments[command], keys=tmp_path / "file"), "--quiet")
        assert done.exit_code in (2, 3) and str(tmp_path / "file") in done.stderr


def test_commit_goes_on_and_never_overwrites(chain, arguments, tmp_path) -> None:
    run("commit", *arguments["commit"], expect=0)
    folder = tmp_path / "out"
    before = listing(folder)
    assert (folder / "secret.key").stat().st_mode & 0o777 == 0o600
    check_error(run("commit", *arguments["commit"], "--quiet"), 2, "holds a finished commitment")
    (folder / "commitment.hzc").unlink()
    run("commit", *arguments["commit"], expect=0)  # the rest is there: it goes on
    assert listing(folder) == before
    run("commit", *arguments["commit"], "--force", expect=0)
    assert listing(folder) == before  # same model, same secret


# --- exit code 3: the machine lacks something ----------------------------------------------------


@pytest.mark.parametrize("command", ["setup", "fingerprint", "commit"])
def test_without_safetensors_owners_get_exit_code_3(
    command: str, arguments, monkeypatch, tmp_path
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    check_error(run(command, *arguments[command], "--quiet"), 3, "the extra 'prove'")
    assert json_of(command, *arguments[command], expect=3)["valid"] is None
    assert listing(tmp_path) == {}


@pytest.mark.parametrize("command", ["fingerprint", "render", "sheet", "verify", "prove"])
def test_without_the_embedded_generator_the_exit_code_is_3(
    command: str, arguments, no_embedded_generator, tmp_path
) -> None:
    given = list(arguments[command])
    at = given.index("--generator")
    del given[at : at + 2]
    check_error(run(command, *given, "--quiet"), 3, "--generator")
    assert listing(tmp_path) == {}


def test_without_keys_neither_prove_nor_verify_goes_on(arguments, bare_cache, tmp_path) -> None:
    for command in ("verify", "prove"):
        result = run(command, *changed(arguments[command], keys=bare_cache), "--quiet")
        check_error(result, 3, "huref-zk setup")
    assert listing(tmp_path) == {}
    assert [p.suffix for p in bare_cache.iterdir()] == [".srs"]


def test_damaged_keys_are_not_used(chain, arguments, tmp_path) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(chain.cache, cache)
    vk = cache / chain.keys.folder.name / "vk"
    data = vk.read_bytes()
    vk.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    for command in ("setup", "verify"):
        given = changed(arguments[command], keys=cache)
        check_error(run(command, *given, "--quiet"), 3, "damaged")
    vk.write_bytes(data)
    for command in ("setup", "verify"):
        run(command, *changed(arguments[command], keys=cache), expect=0)


# --- the demo ------------------------------------------------------------------------------------


def test_the_demo(tmp_path) -> None:
    """From an empty key folder to the sheet and the refused forgery."""
    data = json_of("demo", "--out", tmp_path / "demo-out", "--keys", tmp_path / "keys")
    assert data["verified"] and data["tampered_refused"].startswith("1 pixels")
    assert data["ics"]["demo-child"] > 0.8 > 0.2 > data["ics"]["demo-stranger"]
    assert data["test_setup"] and Path(data["sheet"]).is_file()
    assert read_png(Path(data["image"])).shape == (128, 128, 3)
