"""Which cells of a circuit are free, read off its proving and verifying key.

A cell that a gate reads is tied down if the permutation links it, over however many copies, to what
a gate puts out, to a constant, to a committed input or to the public output. Every other one is
whatever the prover likes. Gadgets need such hints (the digits of a number, a quotient), as many as
follow from their definition; one cell more is a hole that no test of honest proofs can see.

Read here: of the verifying key the rows in which each selector is on; of the proving key the
permutation, whose polynomials take the value delta^c omega^r where a cell is followed by the cell
in column c and row r. Columns and selectors are in the order in which ezkl 23.0.5 makes them:
committed inputs; the two inputs and the output of the gates, block by block; constants; instance.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from huref_zk.curve.bn254 import R
from huref_zk.srs.insecure import root_of_unity

MONTGOMERY = pow(2, 256, R)
DELTA = pow(7, 1 << 28, R)
SINGLE = ("Add", "Sub", "Mult")  # a gate for each inner column
RUNNING = ("DotInit", "Dot", "CumProd", "CumProdInit", "Sum", "SumInit")  # over a row of a block
Cell = tuple[int, int]


@dataclass(frozen=True)
class Wiring:
    """A key folder, and how many columns are committed inputs."""

    folder: Path
    committed: int

    @cached_property
    def settings(self) -> dict:
        return json.loads((self.folder / "settings.json").read_text())

    @property
    def rows(self) -> int:
        return 1 << self.settings["run_args"]["logrows"]

    @property
    def inner(self) -> int:
        """Columns side by side."""
        return self.settings["run_args"]["num_inner_cols"]

    @property
    def ranges(self) -> int:
        return len(self.settings["required_range_checks"])

    def selectors(self, blocks: int) -> int:
        return blocks * (self.inner * (len(SINGLE) + self.ranges) + len(RUNNING))

    def columns(self, blocks: int) -> int:
        """That the permutation goes over; one of them is for constants, the last is public."""
        return self.committed + 3 * self.inner * blocks + 2

    @cached_property
    def blocks(self) -> int:
        """Such that the verifying key is as long as it is: 7 bytes, the commitments to fixed
        columns and to the permutation, a bit a row for each selector."""
        size = (self.folder / "vk").stat().st_size
        fixed = int.from_bytes((self.folder / "vk").read_bytes()[3:7], "little")

        def length(blocks: int) -> int:
            points = fixed + self.columns(blocks)
            return 7 + 64 * points + self.selectors(blocks) * self.rows // 8

        (found,) = (blocks for blocks in range(1, 1000) if length(blocks) == size)
        return found

    def column(self, tensor: int, block: int, inner: int) -> int:
        """tensor: 0 and 1 are the gates' inputs, 2 is their output."""
        return self.committed + (tensor * self.blocks + block) * self.inner + inner

    def active(self) -> Iterator[tuple[str, int, int, list[int]]]:
        """(gate, block, inner column, rows) of every selector."""
        count, size = self.selectors(self.blocks), self.rows // 8
        bits = (self.folder / "vk").read_bytes()[-count * size :]
        places = [(g, b, i) for b in range(self.blocks) for i in range(self.inner) for g in SINGLE]
        places += [(g, b, 0) for b in range(self.blocks) for g in RUNNING]
        places += [
            ("range", b, i)
            for _ in range(self.ranges)
            for b in range(self.blocks)
            for i in range(self.inner)
        ]
        for number, place in enumerate(places):
            mine = bits[number * size : (number + 1) * size]
            yield (
                *place,
                [8 * i + j for i, byte in enumerate(mine) for j in range(8) if byte >> j & 1],
            )

    def read_and_written(self) -> tuple[set[Cell], set[Cell]]:
        """(cells that gates read, cells that gates put out)."""
        read: set[Cell] = set()
        written: set[Cell] = set()
        for gate, block, inner, rows in self.active():
            wide = range(self.inner) if gate in RUNNING else [inner]
            tensors = {"range": [0]}.get(gate, [1] if gate[:3] in ("Cum", "Sum") else [0, 1])
            for row in rows:
                read |= {(self.column(t, block, i), row) for t in tensors for i in wide}
                if gate != "range":
                    written.add((self.column(2, block, inner), row))
        return read, written

    @cached_property
    def follows(self) -> list[list[Cell]]:
        return permutation(self.folder / "pk", self.rows, self.columns(self.blocks))

    def copies(self, cell: Cell) -> list[Cell]:
        return copies(self.follows, cell)

    def free(self) -> list[list[Cell]]:
        """The hints: each set of equal cells that some gate reads and nothing ties down."""
        read, written = self.read_and_written()
        inputs = range(self.committed, self.columns(self.blocks) - 2)
        seen: set[Cell] = set()
        found = []
        for cell in read:
            if cell in seen:
                continue
            copies = self.copies(cell)
            seen.update(copies)
            if not any(c in written or c[0] not in inputs for c in copies):
                found.append(copies)
        return found


def permutation(pk: Path, rows: int, columns: int) -> list[list[Cell]]:
    """For each column and row the cell that the permutation of a proving key leads to."""
    omega, cells, shift = root_of_unity(rows.bit_length() - 1), {}, MONTGOMERY
    for column in range(columns):
        value = shift
        for row in range(rows):
            cells[value.to_bytes(32, "little")] = (column, row)
            value = value * omega % R
        shift = shift * DELTA % R
    found: list[list[Cell]] = []
    data, at = pk.read_bytes(), 0
    head = rows.to_bytes(4, "big")  # before every polynomial's values
    while len(found) < columns:
        at = data.index(head, at)
        values = [data[at + 4 + 32 * r : at + 36 + 32 * r] for r in range(rows)]
        if all(value in cells for value in (values[0], values[rows // 2], values[-1])):
            found.append([cells[value] for value in values])
            at += 4 + 32 * rows
        else:
            at += 1
    return found


def copies(follows: list[list[Cell]], cell: Cell) -> list[Cell]:
    """The cells that are tied to this one, itself first."""
    found = [cell]
    while (after := follows[found[-1][0]][found[-1][1]]) != cell:
        found.append(after)
    return found
