"""An owner's folder, from a model to a finished commitment. What is interrupted goes on.

The secret is drawn and written first, then the witness, which takes the whole model, then the row
commitments, block by block in a journal. Each file is written whole or not at all, so a later call
with the same arguments finds what is done and does the rest. One call at a time: the folder is
locked meanwhile. See commit.py for the files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from huref_zk.commitment.audited import audited_matrices
from huref_zk.commitment.commit import checkpoint_salt
from huref_zk.commitment.commit import commit as commit_witness
from huref_zk.commitment.descriptor import Audited, Descriptor, token_digest
from huref_zk.commitment.file import Commitment, write_commitment
from huref_zk.commitment.secret import LENGTH, create_secret, read_secret
from huref_zk.commitment.witness import Witness, make_witness, read_witness, write_witness
from huref_zk.errors import InputError
from huref_zk.files.locking import locked
from huref_zk.invariants.tokens import TOKENS, choose_tokens
from huref_zk.models.families import family_for
from huref_zk.models.layers import dimensions
from huref_zk.models.load import open_model
from huref_zk.models.model import Model
from huref_zk.proofs.prepare import checkpoint_digest, facts_of, prepare, read_token_file
from huref_zk.srs.file import Srs
from huref_zk.srs.trust import find_srs, own_srs

Stage = Callable[[str, int, int], None]
"""Hears (what is done, done, total); total 0 where it is not known."""
PUBLIC, SECRET, WITNESS, JOURNAL = "commitment.hzc", "secret.key", "witness.hzw", "journal"
_HALF = re.compile(r"\.(commitment\.hzc|witness\.hzw|secret\.key)[a-z0-9_]{8}")
"""Names under which files are written before they get their own (files/writing.py)."""


@dataclass(frozen=True)
class Request:
    """What is to be committed to: a model as open_model takes it, and prepare's further arguments;
    audit_layers: layers whose own matrices are committed besides; audit_output: so are the K rows
    of the output matrix; public: without a secret, so that everybody gets the same root."""

    model: str
    reading: dict[str, Any] = field(default_factory=dict)
    choice: dict[str, Any] = field(default_factory=dict)
    audit_layers: tuple[int, ...] = ()
    audit_output: bool = False
    public: bool = False

    def open(self) -> Model:
        """The model."""
        options = {k: v for k, v in self.reading.items() if k != "map_file"}
        return open_model(self.model, **options)


def commit_to_folder(
    request: Request,
    folder: Path,
    cache: Path,
    trusted: tuple[str, ...] = (),
    *,
    force: bool = False,
    stage: Stage | None = None,
    warned: Callable[[str], None] | None = None,
) -> Commitment:
    """Commit to a model into ``folder``, or go on where an earlier call with the same request was
    interrupted; returns the commitment, which lies there then.

    cache: folder of SRS files, in which the test one is made when there is none. force: what a
    finished or another commitment left in the folder is replaced, once the new witness is there,
    but never a secret: the one that is there is used again. warned: hears what the owner should
    know. InputError when the folder holds a finished commitment, or the beginnings of another one,
    and ``force`` is not set; when it is the model's own; and while another call is at work in it.
    """
    say = stage or (lambda *_: None)
    check_folder(folder, public=request.public, force=force)
    request.open()  # a model that is not there leaves no folder behind
    if folder.is_dir() and Path(request.model).is_dir() and folder.samefile(request.model):
        raise InputError(
            f"{folder} is the model's own folder, and the secret would go where the model goes; "
            "name another one"
        )
    folder.mkdir(parents=True, exist_ok=True)
    busy = f"another 'commit' is at work in {folder}; wait for its end, or name another folder"
    with locked(folder, busy):
        check_folder(folder, public=request.public, force=force)  # who held it may have finished
        _sweep(folder)
        secret = None if request.public else _secret(folder / SECRET)
        if (folder / WITNESS).exists() and not force:
            witness = _earlier(request, folder, say)
            srs = own_srs(witness.descriptor.srs, cache)
        else:
            witness, srs, warnings = _witness(request, secret, cache, trusted, say)
            for warning in warnings:
                if warned is not None:
                    warned(warning)
            for name in (PUBLIC, JOURNAL):  # of another witness from here on
                (folder / name).unlink(missing_ok=True)
            write_witness(folder / WITNESS, witness)
        commitment = commit_witness(
            witness, secret, srs, progress=_named(say, "committing"), journal=folder / JOURNAL
        )
        write_commitment(folder / PUBLIC, commitment)
    return commitment


def check_folder(folder: Path, *, public: bool = False, force: bool = False) -> None:
    """InputError unless a commitment may be made, or finished, in ``folder``. Writes nothing."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is not a folder")
    for name in (PUBLIC, SECRET, WITNESS, JOURNAL):
        path = folder / name
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise InputError(f"{path} is not a regular file")
    if (folder / PUBLIC).exists() and not force:
        raise InputError(
            f"{folder} holds a finished commitment; name another folder, or --force replaces it "
            "and keeps its secret key"
        )
    if public and (folder / SECRET).exists():
        raise InputError(f"{folder} holds a secret key, and a public model has none")
    above = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise InputError(f"cannot write to {folder}: {above} is not a writable folder")


def _sweep(folder: Path) -> None:
    """Remove halves of files that a killed call left. A secret is only removed where it stands
    under its own name as well: an owner may keep copies, under whatever name."""
    for path in list(folder.iterdir()):
        match = _HALF.fullmatch(path.name)
        if match is None or path.is_symlink() or not path.is_file():
            continue
        own = folder / match[1]
        if match[1] != SECRET or (own.exists() and path.samefile(own)):
            path.unlink(missing_ok=True)


def _secret(path: Path) -> bytes:
    if path.exists():
        return read_secret(path)
    secret = os.urandom(LENGTH)
    create_secret(path, secret)
    return secret


def _witness(
    request: Request, secret: bytes | None, cache: Path, trusted: tuple[str, ...], say: Stage
) -> tuple[Witness, Srs, tuple[str, ...]]:
    prepared = prepare(
        request.model,
        **request.reading,
        **request.choice,
        progress=_named(say, "reading the model"),
    )
    srs = find_srs(
        prepared.shape.k, cache, True, _named(say, "structured reference string"), trusted
    )
    model, salt, facts = request.open(), checkpoint_salt(secret), facts_of(prepared)
    matrices: dict[str, np.ndarray] = {}
    layers: tuple[Audited, ...] = ()
    if request.audit_layers or request.audit_output:
        say("audited layers", 0, 0)
        matrices, layers, scales = audited_matrices(
            model,
            family_for(model, request.reading.get("map_file")),
            request.audit_layers,
            request.audit_output,
            prepared.cores.token_ids,
        )
        facts["scales"] |= scales
    q = prepared.quantised
    digest = checkpoint_digest(model, salt, _named(say, "digest of the checkpoint"))
    made = make_witness(facts, q.E, q.C, srs, digest, salt, matrices, layers, request.public)
    return made, srs, prepared.warnings


def _earlier(request: Request, folder: Path, say: Stage) -> Witness:
    """The witness that an interrupted call left. InputError if it is not of this request."""
    witness = read_witness(folder / WITNESS)
    model = request.open()
    progress = _named(say, "digest of the checkpoint")
    digest = checkpoint_digest(model, witness.checkpoint_salt, progress).hex()
    if digest != witness.descriptor.checkpoint:
        differing = ["model"]
    else:
        differing = _differences(request, model, witness.descriptor)
    if differing:
        raise InputError(
            f"{folder} holds the beginnings of another commitment (it differs in "
            f"{', '.join(differing)}); name another folder, or --force begins anew"
        )
    return witness


def _differences(request: Request, model: Model, d: Descriptor) -> list[str]:
    """In what a request for ``model`` and the descriptor of a begun commitment differ."""
    choice = request.choice
    dims = dimensions(model, family_for(model, request.reading.get("map_file")))
    recipe, layers = choice.get("recipe", "whole"), choice.get("layers")
    if layers is None:  # by themselves the other recipes take the last two that do anything
        layers = tuple(range(dims.layers)) if recipe == "whole" else d.layers
    given = None if choice.get("tokens") is None else read_token_file(choice["tokens"])
    ids, _ = choose_tokens(
        model,
        dims.vocab,
        choice.get("count", TOKENS),
        choice=choice.get("token_choice", "common"),
        token_ids=given,
    )
    pairs = {
        "recipe": (recipe, d.recipe),
        "layers": (tuple(layers), d.layers),
        "tokens": (token_digest(ids), d.tokens.digest),
        "audited layers": (request.audit_layers, tuple(part.layer for part in d.audited)),
        "audited output": (request.audit_output, d.output),
        "secrecy": (request.public, d.public),
    }
    return [name for name, (asked, found) in pairs.items() if asked != found]


def _named(say: Stage, what: str) -> Callable[[int, int], None]:
    return lambda done, total: say(what, done, total)
