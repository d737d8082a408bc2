"""Differences, in the manner of a diff: opened rows against a model, a commitment against the
witness behind it, the witness against a model.

Integers that a model's weights decide one by one must be equal: E, the matrices of audited layers,
O. Cores are sums of products in floating point, whose last digits depend on the machine, so an
entry near the middle between two integers may fall to either: there UNIT is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from huref_zk.commitment.commit import Owner, Progress
from huref_zk.commitment.commit import commit as commit_witness
from huref_zk.commitment.descriptor import Descriptor
from huref_zk.commitment.file import Commitment
from huref_zk.commitment.witness import Witness, check_matrices
from huref_zk.errors import InputError
from huref_zk.proofs.opening.file import Opening
from huref_zk.proofs.opening.rows import Row, name
from huref_zk.srs.file import Srs

UNIT = 1
"""By how much an entry of a core may differ from one computed elsewhere."""
SCALE = 1e-6
"""Relative difference allowed between scales of cores."""
_BOUND_TO_WEIGHTS = ("recipe", "model", "layers", "tokens", "audited", "output")


@dataclass(frozen=True)
class Recomputed:
    """What a model makes under a descriptor. fields: those parts of it that the model decides;
    matrices: int16, as a Witness has them; digest: of the checkpoint, hex, for a salt."""

    fields: Mapping[str, Any]
    matrices: Mapping[str, np.ndarray]
    digest: Callable[[bytes], str]


@dataclass(frozen=True)
class RowDifference:
    """entries: how many integers of the row differ by more than is allowed; first: the first such
    column; largest: the largest difference."""

    place: Row
    entries: int
    first: int
    largest: int

    def __str__(self) -> str:
        return (
            f"{name(self.place)}: {self.entries} integers differ, first in column {self.first}, "
            f"by up to {self.largest}"
        )


@dataclass(frozen=True)
class MatrixDifference:
    """entries: integers of the matrix; different: how many differ; largest: by how much at most;
    allowed: how much may be."""

    name: str
    entries: int
    different: int
    largest: int
    allowed: int

    @property
    def share(self) -> float:
        """Of the entries that differ."""
        return self.different / self.entries

    def __str__(self) -> str:
        if not self.different:
            return f"{self.name}: equal in all {self.entries} integers"
        return (
            f"{self.name}: {self.different} of {self.entries} integers differ "
            f"({self.share:.2g}), by up to {self.largest} (allowed is {self.allowed})"
        )


class Different(InputError):
    """Opened rows, or a descriptor, that are not a given model's; fields: lines on the descriptor;
    rows: the rows that differ."""

    def __init__(self, message: str, fields: list[str], rows: list[RowDifference]):
        super().__init__(message)
        self.fields, self.rows = fields, rows


def recomputing(
    ref: str | Path,
    *,
    revision: str | None = None,
    allow_pickle: bool = False,
    map_file: Path | None = None,
    tokens: Path | None = None,
    progress: Progress | None = None,
) -> Callable[[Descriptor], Recomputed]:
    """What makes the integers of the model ``ref`` under a given descriptor: its recipe, layers,
    tokens and audited matrices.

    Options as invariants.prepare.prepare takes them; tokens: the file of token ids, for a
    commitment whose tokens were given by one. The function raises InputError.
    """

    def recompute(descriptor: Descriptor) -> Recomputed:
        from huref_zk.commitment.audited import audited_matrices
        from huref_zk.models.families import family_for
        from huref_zk.models.load import open_model
        from huref_zk.proofs.prepare import checkpoint_digest, facts_of, prepare

        given = descriptor.tokens.choice == "given"
        if given and tokens is None:
            raise InputError("the tokens of this commitment were given by a file: --tokens FILE")
        reading: dict[str, Any] = {"revision": revision, "allow_pickle": allow_pickle}
        prepared = prepare(
            ref,
            recipe=descriptor.recipe,
            layers=descriptor.layers,
            tokens=tokens if given else None,
            count=descriptor.tokens.count,
            token_choice="common" if given else descriptor.tokens.choice,
            map_file=map_file,
            progress=progress,
            **reading,
        )
        facts, q = facts_of(prepared), prepared.quantised
        sets = [np.ascontiguousarray(np.swapaxes(core, 0, 1)) for core in q.C]
        matrices = {"E": q.E, **dict(zip(descriptor.core_sets, sets, strict=True))}
        fields = {**facts, "audited": [], "output": 0}
        model = open_model(str(ref), **reading)
        if descriptor.audited or descriptor.output:
            more, audited, scales = audited_matrices(
                model,
                family_for(model, map_file),
                [part.layer for part in descriptor.audited],
                descriptor.output,
                prepared.cores.token_ids,
            )
            matrices |= more
            fields["scales"] = {**facts["scales"], **scales}
            fields["audited"] = [vars(part) for part in audited]
            fields["output"] = int(descriptor.output)
        return Recomputed(fields, matrices, lambda salt: checkpoint_digest(model, salt).hex())

    return recompute


def allowed_in(descriptor: Descriptor, matrix: str) -> int:
    """By how much an entry of this matrix may differ from one computed elsewhere."""
    return UNIT if matrix in descriptor.core_sets else 0


def compare_fields(descriptor: Descriptor, given: Recomputed) -> list[str]:
    """'scales.E: committed 128.0, found 64.0' for every field that differs, in order of names."""
    committed = descriptor.to_json()
    lines = []
    for key in _BOUND_TO_WEIGHTS:
        lines += _differing(committed[key], given.fields[key], key)
    ours, theirs = committed["scales"], given.fields["scales"]
    for key in sorted(ours.keys() | theirs.keys()):
        near = key in ours and key in theirs
        if near and key[0] == "C":
            near = math.isclose(float(ours[key]), float(theirs[key]), rel_tol=SCALE)
        else:
            near = near and ours[key] == theirs[key]
        if not near:
            lines += _differing(ours.get(key), theirs.get(key), f"scales.{key}") or []
    return lines


def check_rows(opening: Opening, given: Recomputed) -> str:
    """What was established of opened rows against a model. Different if they are not its."""
    descriptor = opening.descriptor
    fields = compare_fields(descriptor, given)
    judge = _witness_of(descriptor, given)
    rows, units, entries = [], 0, 0
    for row in opening.rows:
        matrix, number = row.place
        found = judge.values(matrix, number, number + 1)[0].astype(np.int64)
        gap, allowed = np.abs(found - row.values), allowed_in(descriptor, matrix)
        beyond = np.flatnonzero(gap > allowed)
        if len(beyond):
            rows.append(RowDifference(row.place, len(beyond), int(beyond[0]), int(gap.max())))
        if allowed:
            units, entries = units + int((gap > 0).sum()), entries + len(gap)
    if fields or rows:
        raise Different(
            f"not of this model: {len(rows)} of {len(opening.rows)} opened rows and {len(fields)} "
            "fields of the descriptor differ",
            fields,
            rows,
        )
    told = f"; {units} of {entries} integers of cores are a unit off" if entries else ""
    return f"{len(opening.rows)} rows are this model's{told}"


@dataclass(frozen=True)
class Compared:
    """A witness beside a model. fields: lines on the descriptor; checkpoint: whether its digest is
    the model's; matrices: none where they differ in size."""

    fields: list[str]
    checkpoint: bool
    matrices: list[MatrixDifference]

    @property
    def same(self) -> bool:
        """Whether all is the model's, units in cores apart."""
        within = all(m.largest <= m.allowed for m in self.matrices)
        return self.checkpoint and not self.fields and bool(self.matrices) and within


def compare_with_model(witness: Witness, recompute: Callable[[Descriptor], Recomputed]) -> Compared:
    """Whether a model is what was committed to; recompute: see recomputing. InputError."""
    given = recompute(witness.descriptor)
    fields = compare_fields(witness.descriptor, given)
    checkpoint = given.digest(witness.checkpoint_salt) == witness.descriptor.checkpoint
    try:
        return Compared(fields, checkpoint, compare_matrices(witness, given))
    except Different as error:
        return Compared([*fields, *error.fields], checkpoint, [])


def compare_matrices(witness: Witness, given: Recomputed) -> list[MatrixDifference]:
    """How every committed matrix differs from a model's. Different when they differ in size."""
    _witness_of(witness.descriptor, given)
    found = []
    for matrix, ours in witness.matrices.items():
        gap = np.abs(ours.astype(np.int32) - given.matrices[matrix])
        found.append(
            MatrixDifference(
                matrix,
                gap.size,
                int(np.count_nonzero(gap)),
                int(gap.max()),
                allowed_in(witness.descriptor, matrix),
            )
        )
    return found


@dataclass(frozen=True)
class Recommitted:
    """rows: rows whose points differ, in order; total: rows compared; roots: given and computed."""

    rows: list[Row]
    total: int
    roots: tuple[str, str]

    @property
    def same(self) -> bool:
        return not self.rows and self.roots[0] == self.roots[1]


def recommit(owner: Owner, srs: Srs, progress: Progress | None = None) -> Recommitted:
    """Every row's commitment and the root, computed again from witness and secret.

    InputError when witness, secret and SRS do not fit together.
    """
    made = commit_witness(owner.witness, owner.secret, srs, progress=progress)
    return compare_commitments(owner.commitment, made)


def compare_commitments(given: Commitment, found: Commitment) -> Recommitted:
    """What differs between a commitment and the one computed again under its descriptor."""
    rows = [
        (matrix, i)
        for matrix, points in given.points.items()
        for i, (ours, theirs) in enumerate(zip(points, found.points[matrix], strict=True))
        if ours != theirs
    ]
    total = sum(map(len, given.points.values()))
    return Recommitted(rows, total, (given.root_hex, found.root_hex))


def _witness_of(descriptor: Descriptor, given: Recomputed) -> Witness:
    """The given matrices, read as the committed ones are. InputError when they are no such."""
    matrices = {m.name: given.matrices[m.name] for m in descriptor.matrices}
    try:
        check_matrices(descriptor, matrices)
    except InputError as error:
        raise Different(f"not of this model: {error}", [str(error)], []) from error
    return Witness(descriptor, matrices, b"")


def _differing(committed: Any, found: Any, prefix: str) -> list[str]:
    if isinstance(committed, dict) and isinstance(found, dict):
        lines = []
        for key in sorted(committed.keys() | found.keys()):
            lines += _differing(committed.get(key), found.get(key), f"{prefix}.{key}")
        return lines
    if committed == found and type(committed) is type(found):
        return []
    return [f"{prefix}: committed {_shown(committed)}, found {_shown(found)}"]


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)[:80]
