"""Putting SRS files into the key folder: from a file, from a .ptau, from the network.

A file gets its name there, `kzg<k>.srs`, only once it is whole and has been checked: its digest is
a ceremony's, or else its structure is right (structure.py). Everything is written under another
name beside it first.
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
from huref_zk.srs.ceremonies import forget, listed, remember
from huref_zk.srs.file import Srs, SrsId, ceremony_file, identify
from huref_zk.srs.insecure import insecure_file
from huref_zk.srs.layout import MAX_K, file_size, read_k, sha256_of
from huref_zk.srs.ptau import convert, is_ptau, read_ptau
from huref_zk.srs.structure import CHECK_MAX_K, check_structure
from huref_zk.srs.trust import is_named_for, open_in_folder

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
    beside: bool = False,
) -> Srs:
    """Copy a halo2 raw file, or convert a .ptau (for domain 2^k), to `kzg<k>.srs` in ``folder``.

    ``beside``: to `kzg<k>.<start of its digest>.srs` instead, where it serves to verify what others
    made under it, and leaves alone the one that is proved under.

    The result's kind is "ceremony" if its digest is listed, or its tau G2 is a known ceremony's and
    its structure right. Any other file with a right structure is of kind "unknown": usable by those
    who name its digest, see trust.py. ``k`` may be left out for a raw file, which says itself what
    it is for. Raises InputError: what is wrong with the file, or a file is there already and
    ``force`` is not set.
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
    if not beside:
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
        if beside:
            target = target.with_name(f"kzg{k}.{found.sha256[:16]}.srs")
        return _install(temporary, target, found)


def judge(path: str | os.PathLike[str]) -> SrsId:
    """What an SRS file is; its structure is checked unless its digest is listed. InputError."""
    found = identify(path)
    if found.kind == "test":
        raise InputError("this is the insecure test SRS; setup makes it where it is wanted")
    if found.kind == "unknown":
        check_structure(path)
    return found


def _install(temporary: Path, target: Path, found: SrsId) -> Srs:
    """Give a checked file its name, and note that it was checked."""
    forget(target)
    os.replace(temporary, target)
    if found.kind == "ceremony" and listed(found.k, found.sha256) is None:
        remember(target, found.sha256)
    return Srs(target, found)


def fetch_srs(
    k: int,
    template: str,
    folder: str | os.PathLike[str],
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Srs:
    """Download a ceremony's SRS for domain 2^k, a halo2 raw file, to `kzg<k>.srs` in ``folder``.

    ``template``: its address (http or https), "{k}" standing for k. An interrupted download goes on
    where it stopped, from `kzg<k>.srs.part`. Only a file that is recognised as a known ceremony's
    is kept. `progress` hears (bytes, bytes in all). Raises InputError (k, the address, a file that
    is no known ceremony's), EnvironmentLacks (no network, or it broke off).
    """
    if not 1 <= k <= MAX_K:
        raise InputError(f"there are SRS files for k from 1 to {MAX_K}, not for {k}")
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
    return _install(part, target, _recognised(part, address, k))


def _recognised(part: Path, address: str, k: int) -> SrsId:
    """What came from ``address``, if it is a ceremony's SRS for domain 2^k; else it is removed."""
    sha256 = sha256_of(part)
    try:
        found = identify(part, sha256)
        if found.kind == "ceremony" and found.k == k:
            return found
        why = "its tau is no ceremony's that we know"
        if found.k != k:
            why = f"it is for k={found.k}"
        elif k > CHECK_MAX_K:
            why = f"beyond k={CHECK_MAX_K} only listed digests are recognised"
    except InputError as error:
        why = str(error)
    part.unlink()
    raise InputError(
        f"what {address} sent, of SHA-256 {sha256}, is not a known ceremony's SRS for k={k}: {why}"
    )


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
    """The SRS files of a key folder, by k. Each is hashed; those with a ceremony's tau G2 whose
    structure was never checked are checked now."""
    found = []
    for path in sorted(Path(folder).glob("kzg*.srs")):
        try:
            srs_id = open_in_folder(path).id
        except HurefError as error:
            found.append(Listed(path, None, str(error)))
            continue
        found.append(Listed(path, srs_id, _misplaced(path, srs_id, folder)))
    return sorted(found, key=lambda item: (item.id.k if item.id else 0, item.path.name))


def _misplaced(path: Path, srs_id: SrsId, folder: str | os.PathLike[str]) -> str | None:
    if srs_id.kind == "test":
        place = insecure_file(srs_id.k, folder)
        right = path == place
    else:
        place = ceremony_file(srs_id.k, folder)
        right = is_named_for(path, srs_id.k)
    return None if right else f"a {srs_id.kind} SRS for k={srs_id.k} is looked for as {place.name}"


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
