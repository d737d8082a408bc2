"""The judge's side of an opening. Its steps are those of kernel.STEPS["opening"].

Imports neither torch nor safetensors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from huref_zk.argument.batching import Equation, combine, first_false
from huref_zk.commitment import tree
from huref_zk.commitment.descriptor import Descriptor
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import R
from huref_zk.files.formats import OPENING
from huref_zk.proofs.kernel import (
    Policy,
    Report,
    Setup,
    Step,
    check_policy,
    check_srs,
    describe,
    expected_root,
    read_claim,
    refuse_unless,
)
from huref_zk.proofs.opening.differences import Recomputed, check_rows
from huref_zk.proofs.opening.file import OpenedLeaf, OpenedRow, Opening, parse_opening
from huref_zk.proofs.opening.rows import MAX_NAMED, Row, listed, name, sample_rows
from huref_zk.srs.file import Srs


@dataclass(frozen=True)
class Choice:
    """What a judge chose by: a nonce of 32 bytes, and how many rows of every matrix."""

    nonce: bytes
    count: int


def verify_file(
    path: Path,
    expected: str | Path,
    setup: Setup,
    policy: Policy | None = None,
    choice: Choice | None = None,
    recompute: Callable[[Descriptor], Recomputed] | None = None,
    heard: Callable[[Step], None] | None = None,
) -> Report:
    """Verify a `.hzo` file against ``expected``: a commitment file, or a root as 64 hex digits.

    policy: what is demanded of recipe, layers and tokens, None for nothing (a sketch's seed plays
    no part here). choice: the rows must be those that it chooses. recompute: gives what a model
    that the caller holds makes under a descriptor (differences.recomputing); the rows must be that
    model's. Raises StepFailed (a claim that is false or malformed; at the step "weights" its cause
    is a differences.Different), InputError (unreadable arguments), EnvironmentLacks.
    """
    root = expected_root(expected)
    data = read_claim(path, OPENING)
    return verify_bytes(
        data, root, setup, policy, choice, recompute, Report("opening", heard=heard)
    )


def verify_bytes(
    data: bytes,
    root: str,
    setup: Setup,
    policy: Policy | None = None,
    choice: Choice | None = None,
    recompute: Callable[[Descriptor], Recomputed] | None = None,
    report: Report | None = None,
) -> Report:
    """Run the steps on an opening's bytes; the last only with ``recompute``. See verify_file."""
    report = report or Report("opening")
    with report.step("parse") as step:
        opening = parse_opening(data)
        step.established(f"{len(data)} bytes, {len(opening.rows)} rows, well formed")
    with report.step("commitment") as step:
        for leaf, found in roots(opening):
            start = name((leaf.place.matrix, leaf.place.first))
            refuse_unless(
                found == int(root, 16),
                f"the leaf from {start} on does not lead to the expected root",
            )
        if policy is not None:
            check_policy(opening.descriptor, None, policy)
        step.established(f"root {root}")
    describe(report, opening.descriptor, root=root)
    report.facts["rows"] = [name(place) for place in opening.places]
    report.facts["chosen_by_nonce"] = choice is not None
    srs = check_srs(report, opening.descriptor, setup)
    with report.step("rows") as step:
        wrong = wrong_rows(opening, srs)
        others = ", maybe others" if len(wrong) == MAX_NAMED else ""
        refuse_unless(not wrong, f"not what was committed: {listed(wrong)}{others}")
        step.established(
            f"{len(opening.rows)} rows are the committed ones, all entries small integers"
        )
    _choice(opening, int(root, 16), choice, report)
    if recompute is not None:
        given = recompute(opening.descriptor)  # not within the step: the model may be unreadable
        with report.step("weights") as step:
            step.established(check_rows(opening, given))
    return report.finished(optional=1)


def _choice(opening: Opening, root: int, choice: Choice | None, report: Report) -> None:
    with report.step("choice") as step:
        if choice is None:
            step.established("none was demanded: the owner may have chosen the rows")
            return
        wanted = sample_rows(opening.descriptor, root, choice.nonce, choice.count)
        missing = sorted(set(wanted) - set(opening.places))
        refuse_unless(not missing, f"the nonce chooses other rows: missing are {listed(missing)}")
        refuse_unless(opening.places == wanted, "the nonce chooses other rows: these are more")
        step.established(
            f"the {len(wanted)} rows that the nonce chooses, {choice.count} of every matrix"
        )


def roots(opening: Opening) -> Iterator[tuple[OpenedLeaf, int | None]]:
    """Each leaf, and the root that it and its path lead to; None for a path of wrong length."""
    bound = opening.descriptor.to_bytes()
    matrices = opening.descriptor.matrices
    number = {m.name: i for i, m in enumerate(matrices)}
    count = len(tree.leaf_ranges([m.rows for m in matrices]))
    for leaf in opening.leaves:
        points = b"".join(map(bn254.compress, leaf.points))
        hashed = tree.leaf(number[leaf.place.matrix], leaf.place.first, points)
        yield leaf, tree.check_path(hashed, leaf.place.number, count, leaf.siblings, bound)


def wrong_rows(opening: Opening, srs: Srs, limit: int = MAX_NAMED) -> list[Row]:
    """Rows whose commitment is not the point that their leaf holds for them, at most ``limit``.

    All at once as a random combination (a false row escapes with probability 2^-128); only where
    that fails is it halved, down to single rows.
    """
    generators = srs.lagrange(0, max(len(row.values) + len(row.salts) for row in opening.rows))
    weights, points = _weights(opening), opening.points()
    wrong: list[Row] = []
    todo = [range(len(opening.rows))]
    while todo and len(wrong) < limit:
        part = todo.pop()
        rows = opening.rows[part.start : part.stop]
        factors, targets = weights[part.start : part.stop], points[part.start : part.stop]
        totals = _combined(rows, factors, len(generators))
        together = Equation(
            "rows", [*generators, *targets], [*totals, *(-factor for factor in factors)]
        )
        if first_false([together], [1]) is None:
            continue
        if len(part) == 1:
            wrong.append(opening.rows[part.start].place)
        else:
            middle = (part.start + part.stop) // 2
            todo += [range(middle, part.stop), range(part.start, middle)]
    return wrong


def _combined(rows: Sequence[OpenedRow], weights: Sequence[int], length: int) -> list[int]:
    """sum_i weights_i (integers | salts of row i) mod r, padded to ``length`` entries."""
    totals = [0] * length
    by_size: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        by_size.setdefault(len(row.values), []).append(index)
    for columns, indices in by_size.items():
        chosen = [weights[i] for i in indices]
        values = combine(chosen, np.array([rows[i].values for i in indices]))
        for place, value in enumerate(values):
            totals[place] += value
        for i in indices:
            for place, salt in enumerate(rows[i].salts, start=columns):
                totals[place] += weights[i] * salt
    return [total % R for total in totals]


def _weights(opening: Opening) -> list[int]:
    """128-bit numbers that nobody can foresee without fixing the whole opening."""
    state = hashlib.sha512(b"huref-zk opening batch 2" + opening.descriptor.to_bytes())
    for row, point in zip(opening.rows, opening.points(), strict=True):
        state.update(name(row.place).encode() + b"\n" + row.values.astype(">i2").tobytes())
        state.update(b"".join(salt.to_bytes(32, "big") for salt in row.salts))
        state.update(bn254.compress(point))
    stream = hashlib.shake_256(state.digest()).digest(16 * len(opening.rows))
    return [int.from_bytes(stream[i : i + 16], "big") for i in range(0, len(stream), 16)]
