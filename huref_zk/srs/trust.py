"""Which SRS is relied upon: the one decision of every verifier and every owner.

A commitment names its SRS: kind, k and digest. A verifier believes none of it. The digest must be
the test SRS's (and the caller accepts that one), or that of a file in the caller's own key folder
that is recognised as a ceremony's, or one that the caller named; and the kind must be what the file
is. Owners use what they have: an SRS does not protect them but those whom they want to convince.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from huref_zk.errors import EnvironmentLacks, HurefError, InputError
from huref_zk.srs.ceremonies import listed, listed_for_some_k, noted, remember
from huref_zk.srs.file import Srs, ceremony_file, identify
from huref_zk.srs.insecure import insecure_file, insecure_sha256, insecure_srs
from huref_zk.srs.layout import read_k, sha256_of
from huref_zk.srs.name import SrsName
from huref_zk.srs.structure import Progress


class NotTrusted(InputError):
    """A claim rests on an SRS that the caller does not accept."""


@dataclass(frozen=True)
class Trust:
    """What is relied upon, and why.

    kind: one of name.SRS_KINDS; name: the ceremony's, or words for the other kinds; srs: the file.
    """

    kind: str
    name: str
    srs: Srs


def trusted_srs(
    named: SrsName, keys: Path, allow_test: bool = False, trusted: Collection[str] = ()
) -> Trust:
    """The SRS that a claim names, if a verifier relies on it.

    keys: the verifier's key folder, in which any `kzg<k>*.srs` is found by its digest; trusted:
    SHA-256, hex, of further SRS that it accepts. The test SRS is made when it is missing.

    Raises NotTrusted when the SRS is of a kind that is not accepted or not what the claim calls it;
    EnvironmentLacks when no file at hand has the digest and it could be a ceremony's; InputError
    when the file with that digest is damaged.
    """
    if named.sha256 == insecure_sha256(named.k):
        _refuse_unless_called(named, "test")
        if not allow_test:
            raise NotTrusted(
                "made under the TEST setup, whose secret is public: anybody can forge such a proof "
                "or open such a commitment to anything (--allow-test-setup accepts it all the same)"
            )
        return Trust("test", "TEST setup", find_test_srs(named.k, keys, make=True))
    by_name = named.sha256 in {digest.lower() for digest in trusted}
    srs = find_by_digest(named.k, named.sha256, keys)
    if srs is None:
        raise _absent(named, keys, by_name)
    if srs.kind == "unknown" and not by_name:
        raise _unknown(named)
    kind = srs.name.kind
    _refuse_unless_called(named, kind)
    return Trust(kind, srs.id.ceremony or "named by its digest", srs)


def own_srs(named: SrsName, keys: Path) -> Srs:
    """The SRS with the named digest, for an owner, who committed under it.

    The test SRS is made when it is missing. EnvironmentLacks when it is not at hand.
    """
    if named.sha256 == insecure_sha256(named.k):
        return find_test_srs(named.k, keys, make=True)
    srs = find_by_digest(named.k, named.sha256, keys)
    if srs is None:
        raise EnvironmentLacks(_nowhere(named, keys))
    return srs


def find_by_digest(k: int, sha256: str, folder: str | os.PathLike[str]) -> Srs | None:
    """The file `kzg<k>*.srs` of a key folder with this SHA-256 (hex), identified."""
    for path in sorted(Path(folder).glob(f"kzg{k}*.srs")):
        if not is_named_for(path, k):
            continue
        try:
            if read_k(path) != k or sha256_of(path) != sha256:
                continue
        except (InputError, OSError):
            continue  # not an SRS file, so not this one
        return open_in_folder(path, sha256)
    return None


def is_named_for(path: Path, k: int) -> bool:
    """Whether a file's name says that it is an SRS for domain 2^k: `kzg<k>.srs`, `kzg<k>.x.srs`."""
    start = f"kzg{k}"
    name = path.name
    return name.startswith(start) and name.endswith(".srs") and not name[len(start)].isdigit()


def find_srs(
    k: int,
    folder: str | os.PathLike[str],
    make_test: bool = False,
    progress: Progress | None = None,
    trusted: Collection[str] = (),
) -> Srs:
    """The SRS for domain 2^k to commit and prove under: `kzg<k>.srs` if it is there, else the test
    one.

    `kzg<k>.srs` must be a ceremony's file, or one whose SHA-256 (hex) is in `trusted`;
    `kzg<k>.test.srs` is the test SRS, made here when it is missing and `make_test` is set.
    InputError when another file lies there, EnvironmentLacks when there is neither.
    """
    path = ceremony_file(k, folder)
    if not path.exists():
        return find_test_srs(k, folder, make_test, progress)
    srs = open_in_folder(path)
    if srs.k != k or srs.kind == "test":
        raise InputError(
            f"{path} is the {srs.kind} SRS for k={srs.k}, not a ceremony's for k={k}; remove it"
        )
    if srs.kind != "ceremony" and srs.sha256 not in {digest.lower() for digest in trusted}:
        raise InputError(
            f"{path} is not a known ceremony's SRS for k={k}; remove or replace it, or say that "
            f"you trust it: --trust-srs {srs.sha256}"
        )
    return srs


def find_test_srs(
    k: int,
    folder: str | os.PathLike[str],
    make: bool = False,
    progress: Progress | None = None,
) -> Srs:
    """The test SRS for domain 2^k, `kzg<k>.test.srs`, made when it is missing and `make` is set.

    InputError when another file lies there, EnvironmentLacks when there is none.
    """
    path = insecure_file(k, folder)
    if not path.exists():
        if not make:
            raise EnvironmentLacks(
                f"no SRS for k={k} in {folder}: import or fetch a ceremony's, looked for as "
                f"{ceremony_file(k, folder)}, or run setup, which makes an insecure test SRS"
            )
        insecure_srs(k, path, progress)
    srs = Srs.open(path)
    if srs.kind != "test" or srs.k != k:
        raise InputError(f"{path} is not the test SRS for k={k}; remove it, setup makes it again")
    return srs


def open_in_folder(path: Path, sha256: str | None = None) -> Srs:
    """An SRS file of a key folder; what its structure showed is noted beside it.

    sha256 (hex): its digest, if it is known already. InputError as `identify`.
    """
    srs_id = identify(path, sha256)
    known = listed(srs_id.k, srs_id.sha256) is not None or noted(path, srs_id.sha256)
    if srs_id.kind == "ceremony" and not known:
        remember(path, srs_id.sha256)
    return Srs(path, srs_id)


def _refuse_unless_called(named: SrsName, kind: str) -> None:
    if named.kind != kind:
        raise NotTrusted(
            f"SRS {named.sha256[:16]} for k={named.k} is of kind {kind!r}; the claim calls it "
            f"{named.kind!r}"
        )


def _unknown(named: SrsName) -> NotTrusted:
    return NotTrusted(
        f"SRS {named.sha256} for k={named.k} is no ceremony's that we know, nor named with "
        "--trust-srs"
    )


def _absent(named: SrsName, keys: Path, by_name: bool) -> HurefError:
    """What to say of a digest that no file in the key folder has."""
    if listed(named.k, named.sha256) is not None:
        _refuse_unless_called(named, "ceremony")
    elif named.kind == "test":
        return NotTrusted(f"SRS {named.sha256} is not the test SRS for k={named.k}, as is claimed")
    elif not by_name and (named.kind != "ceremony" or listed_for_some_k(named.sha256)):
        return _unknown(named)
    return EnvironmentLacks(_nowhere(named, keys))


def _nowhere(named: SrsName, keys: Path) -> str:
    ceremony = listed(named.k, named.sha256)
    whose = f"the SRS of the ceremony {ceremony.name}" if ceremony else "an SRS"
    return (
        f"this needs {whose} for k={named.k} with SHA-256 {named.sha256}; no kzg{named.k}*.srs in "
        f"{keys} has that digest. Get the file and put it there with 'huref-zk srs import'"
    )
