"""Hub ids, without a network: the revision must be pinned, and every failure is a clear error."""

from __future__ import annotations

import shutil
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.models.load import open_model
from tests.support.tiny_llama import cores, refused, same

ID = "some-owner/tiny.model_1"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def asked(saved, monkeypatch) -> list[dict]:
    """The hub holds the tiny model; what it was asked for is listed."""
    calls = []

    def snapshot_download(hub_id, **options):
        calls.append({"id": hub_id, **options})
        return str(saved)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return calls


@pytest.fixture
def offline(tmp_path, monkeypatch) -> Path:
    """huggingface_hub as it is, offline, with an empty cache; the cache's folder."""
    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    return cache


def test_a_pinned_revision_is_fetched(asked, saved):
    assert same(cores(ID, revision=COMMIT), cores(saved))
    (call,) = asked
    assert call["id"] == ID
    assert call["revision"] == COMMIT
    # Code and pickles stay where they are.
    assert not any(p.endswith((".py", ".bin", "*")) for p in call["allow_patterns"])
    assert "config.json" in call["allow_patterns"]


def test_pickles_are_fetched_only_when_allowed(asked):
    cores(ID, revision=COMMIT, allow_pickle=True)
    cores(ID, revision=COMMIT)
    wanted = ["pytorch_model*.bin" in call["allow_patterns"] for call in asked]
    assert wanted == [True, False]


@pytest.mark.parametrize(
    "revision", [None, "", "main", "v1.0", COMMIT[:12], COMMIT + "0", COMMIT.upper(), COMMIT + "\n"]
)
def test_any_other_revision_is_refused(asked, revision):
    refused("full 40-digit commit hash", ID, revision=revision)
    assert asked == []  # nothing was fetched
    cores(ID, revision=COMMIT)
    assert len(asked) == 1


@pytest.mark.parametrize("ref", ["owner", "owner/", "/name", "a/b/c", "-a/b", "own er/name", "ö/n"])
def test_what_is_no_hub_id(asked, ref):
    with pytest.raises(InputError, match="there is no model"):
        open_model(ref, revision=COMMIT)
    assert asked == []


def test_a_folder_of_that_name_comes_first(asked, saved, tmp_path, monkeypatch):
    shutil.copytree(saved, tmp_path / ID)
    monkeypatch.chdir(tmp_path)
    cores(ID)
    assert asked == []


def test_ids_that_only_the_hub_finds_wrong(offline):
    """They pass our pattern, not the library's."""
    for ref in ("owner/two..dots", "owner/two--dashes", "owner/name.git", "o/" + "n" * 200):
        refused("hub", ref, revision=COMMIT)


def test_no_network_is_the_environments_lack(offline):
    with pytest.raises(EnvironmentLacks, match=r"cannot reach the hub.*give a local folder"):
        open_model(ID, revision=COMMIT)


def test_a_cached_snapshot_needs_no_network(offline, saved):
    with pytest.raises(EnvironmentLacks):
        open_model(ID, revision=COMMIT)
    snapshot = offline / ("models--" + ID.replace("/", "--")) / "snapshots" / COMMIT
    shutil.copytree(saved, snapshot)
    assert same(cores(ID, revision=COMMIT), cores(saved))


def fails(monkeypatch, error) -> None:
    def snapshot_download(*_, **__):
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)


class NoResponse:
    """As much of a response as the library's errors look at."""

    headers: dict = {}  # noqa: RUF012
    request = None
    status_code = 404


@pytest.mark.parametrize("text", ["404 Client Error.\nRepository not found for url: ...", ""])
def test_the_hubs_refusal_is_told_in_one_line(monkeypatch, text):
    fails(monkeypatch, HfHubHTTPError(text, response=NoResponse()))
    refused("the hub refused some-owner/tiny.model_1 at 0123456789ab", ID, revision=COMMIT)


@pytest.mark.parametrize(
    "error", [LocalEntryNotFoundError("x"), ConnectionError("x"), TimeoutError(), OSError(28, "x")]
)
def test_other_failures_are_the_environments(monkeypatch, error):
    fails(monkeypatch, error)
    with pytest.raises(EnvironmentLacks, match="cannot reach the hub") as caught:
        open_model(ID, revision=COMMIT)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3
