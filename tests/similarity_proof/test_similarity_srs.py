"""--trust-srs in setup-similarity, prove-similarity and verify of a `.hzs` file.

Keys of a pair are dear, so the SRS of unknown origin is the one that the other tests have keys for:
its digest is struck off the list of test SRS, and its file put where an imported one lies.
"""

from __future__ import annotations

import json
import shutil

import pytest
from click.testing import CliRunner

from huref_zk.cli import main
from huref_zk.commitment.file import write_commitment
from huref_zk.invariants.prepare import commit_model
from huref_zk.srs import file as srs_module
from huref_zk.srs.file import Srs, ceremony_file

OTHER = "0" * 64


@pytest.fixture
def unknown(pair, tmp_path, monkeypatch):
    """The SRS as a file of unknown origin, in a key folder that has the pair's keys as well."""
    monkeypatch.setattr(srs_module, "test_sha256", lambda k: None)
    chain = pair.chains[0]
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / pair.keys.folder.name).symlink_to(pair.keys.folder)
    shutil.copy(chain.srs.path, ceremony_file(chain.srs.k, folder))
    found = Srs.open(ceremony_file(chain.srs.k, folder))
    assert (found.kind, found.sha256) == ("unknown", chain.srs.sha256)
    return found


def only_if_named(unknown: Srs, line: tuple, refusal: tuple[int, str]) -> dict:
    """Refused without the option and with another digest, taken with the right one."""

    def run(*named):
        arguments = [*map(str, line), "--keys", str(unknown.path.parent), *named, "--json"]
        done = CliRunner().invoke(main, arguments)
        return done.exit_code, json.loads(done.stdout)

    for named in ((), ("--trust-srs", OTHER)):
        code, answer = run(*named)
        assert code == refusal[0] and refusal[1] in answer["error"], answer
    code, answer = run("--trust-srs", unknown.sha256)
    assert code == 0, answer
    return answer


def test_a_pair_under_an_srs_of_unknown_origin(pair, unknown, tmp_path):
    commitments, secrets = [], []
    for number, chain in enumerate(pair.chains):
        commitments.append(tmp_path / f"{number}.hzc")
        secrets.append(tmp_path / f"{number}.key")
        committed = commit_model(chain.prepared, chain.secret, unknown)
        assert committed.descriptor["srs"]["kind"] == "unknown"
        write_commitment(commitments[-1], committed)
        secrets[-1].write_bytes(chain.secret)
    unnamed = (2, f"--trust-srs {unknown.sha256}")
    assert only_if_named(unknown, ("setup-similarity", *commitments), unnamed)["already"]
    out = tmp_path / "sim.hzs"
    models = [chain.bundle_file.with_name("model") for chain in pair.chains]
    both = [word for path in commitments for word in ("--commitment", path)]
    keys = [word for path in secrets for word in ("--secret", path)]
    made = ("prove-similarity", *models, *both, *keys, "--out", out)
    only_if_named(unknown, made, unnamed)
    verdict = only_if_named(unknown, ("verify", out, *both), (1, "nor named with --trust-srs"))
    assert verdict["valid"] and not verdict["test_setup"]
    assert verdict["steps"][2]["detail"].startswith(f"unknown setup {unknown.sha256[:16]}")
