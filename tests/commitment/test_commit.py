import dataclasses
import shutil

import pytest

from huref_zk.commitment import commit as module
from huref_zk.commitment.commit import NOT_THIS_MODEL, check_owner, commit, read_owner
from huref_zk.commitment.descriptor import parse_descriptor
from huref_zk.commitment.witness import write_witness
from huref_zk.curve import bn254
from huref_zk.errors import InputError
from huref_zk.srs.file import Srs
from huref_zk.srs.insecure import insecure_srs
from tests.support.changed_json import changed
from tests.support.small_owner import SECRET, K, small_owner, small_witness, write_owner

WHICH = ["owner", "rich", "public"]


@pytest.fixture(scope="module")
def other_srs(tmp_path_factory) -> Srs:
    return Srs.open(insecure_srs(7, tmp_path_factory.mktemp("srs") / "kzg7.test.srs"))


@pytest.mark.parametrize("which", WHICH)
def test_every_point_by_its_definition(which, request, srs):
    owner = request.getfixturevalue(which)
    key = owner.witness.key(owner.secret)
    generators = srs.lagrange(0, 1 << 7)
    for m in owner.descriptor.matrices:
        values, salts = owner.witness.values(m.name), owner.witness.salts(key, m.name)
        points = owner.commitment.points[m.name]
        assert len(points) == m.rows and values.shape == (m.rows, m.columns)
        for row in {0, m.rows // 2, m.rows - 1}:
            entries, point = values[row].tolist() + salts[row], points[row]
            assert len(entries) == m.columns + m.salts
            assert bn254.msm(generators[: len(entries)], entries) == point


def test_same_inputs_same_commitment_whatever_the_processes(owner, srs):
    heard = []
    again = commit(owner.witness, SECRET, srs, 2, lambda *counts: heard.append(counts))
    assert again == owner.commitment
    assert heard == [(n, heard[-1][1]) for n in range(1, heard[-1][1] + 1)]


def test_secret_and_integers_change_every_point(owner, srs):
    E = owner.witness.matrices["E"].copy()
    E[K - 1, 0] += 1
    matrices = {**owner.witness.matrices, "E": E}
    other_weight = commit(dataclasses.replace(owner.witness, matrices=matrices), SECRET, srs, 1)
    other_secret = commit(owner.witness, bytes(32), srs, 1)
    for other in (other_weight, other_secret):
        for name, points in owner.commitment.points.items():
            assert not set(points) & set(other.points[name])
        assert other.root != owner.commitment.root


def test_a_public_commitment_is_the_same_for_everybody(public, srs):
    """Neither a secret nor chance has a say in it, so anybody can make it and compare roots."""
    assert commit(public.witness, None, srs, 1) == public.commitment
    assert commit(public.witness, SECRET, srs, 1) == public.commitment
    again = small_witness(srs, public=True)
    assert commit(again, None, srs, 1).root == public.commitment.root
    assert commit(small_witness(srs), SECRET, srs, 1).root != public.commitment.root
    assert public.descriptor.public and not small_witness(srs).descriptor.public


def test_refusals(owner, srs, other_srs):
    with pytest.raises(InputError, match="another SRS"):
        commit(owner.witness, SECRET, other_srs, 1)
    with pytest.raises(InputError, match="has a secret"):
        commit(owner.witness, None, srs, 1)
    with pytest.raises(InputError, match="32 bytes"):
        commit(owner.witness, SECRET[:-1], srs, 1)
    short = {**owner.witness.matrices, "E": owner.witness.matrices["E"][:-2]}
    with pytest.raises(InputError, match="the descriptor says else"):
        commit(dataclasses.replace(owner.witness, matrices=short), SECRET, srs, 1)


# --- the owner's folder --------------------------------------------------------------------------


@pytest.mark.parametrize("which", WHICH)
def test_a_folder_is_read_back(which, request, tmp_path, srs):
    owner = request.getfixturevalue(which)
    found = read_owner(write_owner(tmp_path, owner))
    assert found.commitment == owner.commitment and found.secret == owner.secret
    assert found.descriptor == owner.descriptor
    check_owner(found, srs)


@pytest.fixture
def folder(tmp_path, owner):
    write_owner(tmp_path, owner)
    assert read_owner(tmp_path).commitment == owner.commitment  # the control
    return tmp_path


@pytest.mark.parametrize("name", ["commitment.hzc", "witness.hzw", "secret.key"])
def test_a_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"cannot read .*{name}"):
        read_owner(folder)


def test_a_folder_is_needed(folder):
    with pytest.raises(InputError, match="is not a folder"):
        read_owner(folder / "commitment.hzc")
    with pytest.raises(InputError, match="is not a folder"):
        read_owner(folder / "nothing")


def test_files_of_different_models(folder, rich, tmp_path_factory):
    other = write_owner(tmp_path_factory.mktemp("other"), rich)
    for name in ("commitment.hzc", "witness.hzw"):
        mixed = tmp_path_factory.mktemp("mixed") / "folder"
        shutil.copytree(folder, mixed)
        shutil.copy(other / name, mixed / name)
        with pytest.raises(InputError, match=NOT_THIS_MODEL):
            read_owner(mixed)


def test_files_of_one_descriptor_that_do_not_belong_together(owner, srs, folder):
    """Other integers, or another secret: nothing in the files' heads says so."""
    stranger = small_witness(srs, seed=2)
    same = dataclasses.replace(stranger, descriptor=owner.descriptor)
    write_witness(folder / "witness.hzw", same)
    with pytest.raises(InputError, match=NOT_THIS_MODEL):
        check_owner(read_owner(folder), srs)
    write_witness(folder / "witness.hzw", owner.witness)
    check_owner(read_owner(folder), srs)  # the control
    (folder / "secret.key").write_bytes(bytes(32))
    with pytest.raises(InputError, match=NOT_THIS_MODEL):
        check_owner(read_owner(folder), srs)


def test_a_middle_row_is_noticed_by_the_first(owner, srs):
    """Every salt depends on every integer, so the rows that are recommitted stand for all."""
    C = owner.witness.matrices["C"].copy()
    C[3, 1, 2] += 1
    witness = dataclasses.replace(owner.witness, matrices={**owner.witness.matrices, "C": C})
    with pytest.raises(InputError, match=NOT_THIS_MODEL):
        check_owner(dataclasses.replace(owner, witness=witness), srs)


@pytest.mark.parametrize("name", ["E", "C0", "C1", "qv1", "down1", "O"])
def test_a_changed_point_at_either_end_of_a_matrix(rich, srs, name):
    for row in (0, -1):
        points = list(rich.commitment.points[name])
        points[row] = bn254.add(points[row], bn254.GENERATOR)
        changed_points = {**rich.commitment.points, name: tuple(points)}
        other = dataclasses.replace(rich.commitment, points=changed_points)
        with pytest.raises(InputError, match=NOT_THIS_MODEL):
            check_owner(dataclasses.replace(rich, commitment=other), srs)


def test_owners_need_the_srs_they_committed_under(owner, srs, other_srs):
    check_owner(owner, srs)
    with pytest.raises(InputError, match="another SRS"):
        check_owner(owner, other_srs)
    lie = parse_descriptor(changed(owner.descriptor.to_json(), "srs.sha256", "0" * 64))
    other = dataclasses.replace(owner.commitment, descriptor=lie)
    with pytest.raises(InputError, match="another SRS"):
        check_owner(dataclasses.replace(owner, commitment=other), srs)


# --- interrupted and taken up again --------------------------------------------------------------


class Stop(Exception):
    pass


def stop_after(count):
    def progress(done, total):
        if done == count:
            raise Stop

    return progress


@pytest.fixture
def blocks_done(monkeypatch):
    """Blocks handed to the child processes, one (rows, columns) each."""
    seen, honest = [], module.kzg.run_all

    def run_all(function, jobs, *rest, **more):
        jobs = list(jobs)
        seen.extend(job[2].shape for job in jobs)
        return honest(function, jobs, *rest, **more)

    monkeypatch.setattr(module.kzg, "run_all", run_all)
    return seen


def interrupted(owner, srs, journal, after=3):
    secret = owner.secret
    with pytest.raises(Stop):
        commit(owner.witness, secret, srs, 1, stop_after(after), journal)
    return journal


@pytest.mark.parametrize("which", ["owner", "public"])
def test_it_goes_on_where_it_stopped(which, request, srs, tmp_path, blocks_done):
    owner = request.getfixturevalue(which)
    journal = interrupted(owner, srs, tmp_path / "journal")
    whole = len(blocks_done)
    blocks_done.clear()
    heard = []
    again = commit(owner.witness, owner.secret, srs, 1, lambda *n: heard.append(n), journal)
    assert again == owner.commitment
    assert 0 < len(blocks_done) == whole - 3
    assert heard[0] == (4, whole) and heard[-1] == (whole, whole)
    assert not journal.exists()


def test_a_torn_journal(owner, srs, tmp_path, blocks_done):
    """Killed in the middle of a record: the blocks before it count. test_journal.py has more."""
    journal = interrupted(owner, srs, tmp_path / "journal")
    whole = len(blocks_done)
    journal.write_bytes(journal.read_bytes()[:-1])
    blocks_done.clear()
    assert commit(owner.witness, SECRET, srs, 1, journal=journal) == owner.commitment
    assert len(blocks_done) == whole - 2 and not journal.exists()


def test_a_foreign_journal_is_begun_anew(owner, srs, tmp_path, blocks_done):
    """Of other integers, another secret, another descriptor: no point of theirs may be taken."""
    journal = tmp_path / "journal"
    stranger = dataclasses.replace(small_witness(srs, seed=2), descriptor=owner.descriptor)
    renamed = parse_descriptor(changed(owner.descriptor.to_json(), "model.architecture", "x"))
    for witness, secret in [
        (stranger, SECRET),
        (owner.witness, bytes(32)),
        (dataclasses.replace(owner.witness, descriptor=renamed), SECRET),
    ]:
        with pytest.raises(Stop):
            commit(witness, secret, srs, 1, stop_after(3), journal)
        whole = len(blocks_done)
        blocks_done.clear()
        assert commit(owner.witness, SECRET, srs, 1, journal=journal) == owner.commitment
        assert len(blocks_done) == whole
        blocks_done.clear()


def test_a_public_models_journal_is_of_its_integers(public, srs, tmp_path, blocks_done):
    """Cores computed elsewhere may differ in a unit, under the same descriptor."""
    E = public.witness.matrices["E"].copy()
    E[0, 0] += 1
    matrices = {**public.witness.matrices, "E": E}
    near = dataclasses.replace(public.witness, matrices=matrices)
    journal = tmp_path / "journal"
    with pytest.raises(Stop):
        commit(near, None, srs, 1, stop_after(3), journal)
    assert commit(public.witness, None, srs, 1, journal=journal) == public.commitment


def test_a_journal_that_cannot_be_written(owner, srs, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="cannot write"):
        commit(owner.witness, SECRET, srs, 1, journal=tmp_path / "file" / "journal")


def test_a_journal_shows_nothing_that_the_commitment_does_not(owner, srs, tmp_path):
    """Points of the commitment, and a hash: the folder's other users learn no salt from it."""
    journal = interrupted(owner, srs, tmp_path / "journal", after=1)
    data = journal.read_bytes()
    points = {bn254.encode_uncompressed(p) for p in owner.commitment.points["E"]}
    at = 32 + 1 + 1 + 8
    rows = (len(data) - at - 16) // 64
    assert rows > 0 and {data[at + 64 * i : at + 64 * i + 64] for i in range(rows)} <= points
    key = owner.witness.key(SECRET)
    assert key not in data and SECRET not in data


def test_an_owner_of_another_model_has_other_roots(srs, owner):
    assert small_owner(srs, seed=2).commitment.root != owner.commitment.root
