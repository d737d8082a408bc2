"""Putting SRS files into the key folder: from a file, from a .ptau, from the network.

A file gets its name there, `kzg<k>.srs`, only once it is whole and has been checked: its digest is
the ceremony's, or else its structure is right (commit/srs_check.py) and the caller wants it all the
same. Everything is written under another name beside it first.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from huref_zk.errors import EnvironmentLacks, HurefError, InputError
from huref_zk.srs.file import (
    MAX_K,
    SrsId,
    ceremony_file,
    ceremony_sha256,
    file_size,
    identify,
    read_k,
    test_file,
)
from huref_zk.srs.ptau import convert, is_ptau, read_ptau
from huref_zk.srs.structure import check_structure

Stage = Callable[[str], None]

TIMEOUT = 60.0
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Listed:
    """One SRS file of a key folder; problem: why it would be refused, or None."""

    path: Path
    id: SrsId | None
    problem: str | None


def import_srs(
    source: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    k: int | None = None,
    force: bool = False,
    stage: Stage | None = None,
) -> SrsId:
    """Copy a halo2 raw file, or convert a .ptau (for domain 2^k), to `kzg<k>.srs` in ``folder``.

    The result's kind is "ceremony" if its digest is listed. Otherwise its structure was checked and
    the kind is "unknown": usable by those who name its digest, see find_srs. ``k`` may be left out
    for a raw file, which says itself what it is for. Raises InputError (what is wrong with
    the file, or a file is there already and ``force`` is not set), EnvironmentLacks (disk full).
    """
    say = stage or (lambda _: None)
    ptau = read_ptau(source) if is_ptau(source) else None
    if ptau is None:
        inside = read_k(source)
        if k not in (None, inside):
            raise InputError(f"{source} is an SRS for k={inside}, not {k}")
        k = inside
    elif k is None:
        raise InputError(f"{source} holds SRS for every k up to {ptau.power}; say which: --k")
    target = ceremony_file(k, folder)
    _check_free(target, force)
    with _beside(target) as temporary:
        if ptau is None:
            say("copying")
            shutil.copyfile(source, temporary)
        else:
            say("converting" if ptau.prepared >= k else "converting; Lagrange points take a while")
            convert(ptau, k, temporary)
        say("checking")
        found = judge(temporary)
        os.replace(temporary, target)
    return found


def judge(path: str | os.PathLike[str]) -> SrsId:
    """What an SRS file is; its structure is checked unless it is the ceremony's. InputError."""
    found = identify(path)
    if found.kind == "test":
        raise InputError("this is the insecure test SRS; setup makes it where it is wanted")
    if found.kind == "unknown":
        check_structure(path)
    return found


def fetch_srs(
    k: int,
    template: str,
    folder: str | os.PathLike[str],
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> SrsId:
    """Download the ceremony's SRS for domain 2^k to `kzg<k>.srs` in ``folder``.

    ``template``: its address (http or https), "{k}" standing for k. An interrupted download goes on
    where it stopped, from `kzg<k>.srs.part`. Only a file with the ceremony's digest is kept.
    `progress` hears (bytes, bytes in all). Raises InputError (k, the address, a file that is not
    the ceremony's), EnvironmentLacks (no network, or it broke off).
    """
    wanted = ceremony_sha256(k)
    if wanted is None:
        raise InputError(f"no ceremony digest is known for k={k}, only for k from 1 to {MAX_K}")
    address = template.replace("{k}", str(k))
    if "{k}" not in template or not address.startswith(("https://", "http://")):
        raise InputError(f"{template!r} is no http(s) address with {{k}} in it")
    target = ceremony_file(k, folder)
    _check_free(target, force)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    size = file_size(k)
    if part.exists() and part.stat().st_size > size:
        part.unlink()
    if not part.exists() or part.stat().st_size < size:
        _download(address, part, size, progress)
    try:
        found = identify(part)
    except InputError:
        found = None
    if found is None or found.sha256 != wanted:
        part.unlink()
        raise InputError(f"what {address} sent is not the ceremony's SRS for k={k}")
    os.replace(part, target)
    return found


def _download(
    address: str, part: Path, size: int, progress: Callable[[int, int], None] | None
) -> None:
    """Append to ``part`` what it still lacks of ``size`` bytes."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
            start = f"bytes {have}-"
            resumed = reply.status == 206 and reply.headers.get("Content-Range", "").startswith(
                start
            )
            if not resumed:
                have = 0  # a server that cannot resume sends the whole file
            with open(part, "ab" if resumed else "wb") as file:
                while block := reply.read(_BLOCK):
                    have += len(block)
                    if have > size:
                        break
                    file.write(block)
                    if progress is not None:
                        progress(have, size)
    except urllib.error.HTTPError as error:
        raise InputError(f"{address}: the server says {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise EnvironmentLacks(
            f"cannot download {address} ({reason}); what has come so far is kept. Without a "
            "network bring the file and use 'srs import'"
        ) from error
    if have > size:
        part.unlink()
        raise InputError(f"{address} sends more than an SRS file's {size} bytes")
    if have < size:
        raise EnvironmentLacks(f"{address} broke off after {have} of {size} bytes; fetch again")


def list_srs(folder: str | os.PathLike[str]) -> list[Listed]:
    """The SRS files of a key folder, by k; their content is hashed, nothing more."""
    found = []
    for path in sorted(Path(folder).glob("kzg*.srs")):
        try:
            srs_id = identify(path)
        except HurefError as error:
            found.append(Listed(path, None, str(error)))
            continue
        found.append(Listed(path, srs_id, _misplaced(path, srs_id, folder)))
    return sorted(found, key=lambda item: (item.id.k if item.id else 0, item.path.name))


def _misplaced(path: Path, srs_id: SrsId, folder: str | os.PathLike[str]) -> str | None:
    place = test_file if srs_id.kind == "test" else ceremony_file
    if path == place(srs_id.k, folder):
        return None
    return f"a {srs_id.kind} SRS for k={srs_id.k} is looked for as {place(srs_id.k, folder).name}"


def _check_free(target: Path, force: bool) -> None:
    if target.exists() and not force:
        raise InputError(f"{target} exists; --force replaces it")


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A temporary file in ``target``'s folder, gone at the end unless it was moved."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix="." + target.name)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}") from error
    os.close(handle)
    os.chmod(name, 0o644)
    try:
        yield Path(name)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
