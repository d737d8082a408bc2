"""An owner and the projection proof alone: no circuit, no picture. What cheats start from."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from unittest.mock import patch

from huref_zk.argument import projection
from huref_zk.argument.projection import SetProof
from huref_zk.commitment.commit import Owner
from huref_zk.commitment.file import Commitment
from huref_zk.curve.bn254 import Point
from huref_zk.srs.file import Srs
from tests.support.projecting import SEED, STATEMENT, prove, row_points


@dataclass(frozen=True)
class Bench:
    """As much of a chain as the cheats of tests/support/cheats.py ask for."""

    owner: Owner
    srs: Srs
    seed: bytes = SEED

    @property
    def commitment(self) -> Commitment:
        return self.owner.commitment

    @property
    def bundle(self) -> Bench:
        """Of a bundle they want the seed only."""
        return self

    def proven(
        self, points: list[Point] | None = None, **steps: object
    ) -> tuple[tuple[SetProof, ...], tuple[Point, ...]]:
        """(projection proof, row commitments) of a prover who deviates only as told, as ``forge``
        takes it: other row commitments, or functions in place of argument/projection.py's."""
        with ExitStack() as patches:
            for name, step in steps.items():
                patches.enter_context(patch.object(projection, name, step))
            if points is None:
                points = row_points(self.owner, self.srs, self.seed)
            made = prove(self.owner, points, self.srs, self.seed, STATEMENT)
        return made, tuple(points)


def masks_and_rows(bench: Bench) -> tuple[list[list[int]], list[list[int]]]:
    """(m of each core set, X with all its salts) of the bench's honest proof."""
    masks: list[list[int]] = []
    rows: list[list[list[int]]] = []

    def noted(function, into):
        def call(*args):
            into.append(function(*args))
            return into[-1]

        return call

    points = row_points(bench.owner, bench.srs, bench.seed)
    bench.proven(
        points,
        mask=noted(projection.mask, masks),
        _project=noted(projection._project, rows),
    )
    (left,) = rows
    return [list(m) for m in masks], left
