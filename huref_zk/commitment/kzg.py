"""KZG commitments to rows of numbers, through ezkl.

Notation: ``<m>`` is the commitment ``sum_t m[t] g_lagrange[t]`` to a vector m in the domain 2^k of
the SRS. ezkl.kzg_commit returns ``<m> + B`` where B, the commitment to nothing, is the sum of the
last few Lagrange points: ezkl writes ones into the rows that Halo2 reserves. B is taken off here,
so commitments add up like the vectors in them.

Three things make this fast (measured: 2 microseconds a small entry on a busy core, half of it
alone). A negative number is a full-size field element, so we commit to w + offset >= 0 and subtract
the commitment to the offset everywhere. A column is cut into stretches of at most 2^MAX_STRETCH_K
rows, each committed under a slice of the SRS, because ezkl charges for every row of the domain,
used or not, and beyond 2^12 rows several times as much. And full-size entries (salts) have a short
stretch of their own: one of them among small ones costs as much as thousands of those.
"""

from __future__ import annotations

import functools
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from huref_zk.commitment.journal import Journal
from huref_zk.curve import bn254
from huref_zk.curve.bn254 import Point, R
from huref_zk.errors import EnvironmentLacks, InputError
from huref_zk.native.scratch import private_folder
from huref_zk.native.workers import run_all
from huref_zk.srs.file import Srs, slice_srs

MAX_ENTRY = (1 << 15) - 1
"""Entries have at most this magnitude."""
MAX_STRETCH_K = 12
MAX_BLANK = 16
_FELTS_A_CALL = 1 << 17  # about 40 MB within ezkl
_BLANK_K = 6  # of the tiny circuit whose key kzg_commit wants to see


def blank(srs: Srs, unusable: int) -> Point:
    """B of a circuit in the domain of `srs` that reserves `unusable` rows: ezkl's commitment to
    nothing, which every committed column in a proof carries on top."""
    return bn254.sum_groups([srs.lagrange((1 << srs.k) - unusable, unusable)])[0]


@dataclass(frozen=True)
class Rows:
    """A matrix to commit to. values(name, start, stop): its integers, (stop - start, width);
    tails(name, rows): the field elements that follow them, all rows' of one length."""

    name: str
    count: int
    values: Callable[[str, int, int], np.ndarray]
    tails: Callable[[str, range], list[list[int]]]


def commit_rows(
    srs: Srs,
    matrices: Sequence[Rows],
    processes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    journal: Journal | None = None,
) -> dict[str, list[Point]]:
    """``<values followed by tails>`` for every row of every matrix, by name.

    Integers have magnitudes up to MAX_ENTRY. Works in child processes (default: one a core);
    ``progress`` hears (blocks done, blocks). Blocks that ``journal`` holds are not done again.
    InputError when entries are too large or rows too long for the domain.
    """
    found: dict[tuple[str, int], list[Point]] = {} if journal is None else dict(journal.done)
    blocks = [(m, start, stop) for m in matrices for start, stop in _ranges(srs, m)]
    todo = [b for b in blocks if len(found.get((b[0].name, b[1]), ())) != b[2] - b[1]]
    finished = len(blocks) - len(todo)

    def collected(index: int, points: list[Point]) -> None:
        nonlocal finished
        m, start, _ = todo[index]
        found[m.name, start] = points
        if journal is not None:
            journal.add(m.name, start, points)
        finished += 1
        if progress is not None:
            progress(finished, len(blocks))

    with private_folder() as folder:
        jobs = [(srs, str(folder), *_content(srs, *block)) for block in todo]
        run_all(_commit_block, jobs, processes, collected=collected)
    result: dict[str, list[Point]] = {m.name: [] for m in matrices}
    for m, start, _ in blocks:
        result[m.name] += found[m.name, start]
    return result


def _ranges(srs: Srs, m: Rows) -> list[tuple[int, int]]:
    """The rows of a matrix in blocks: so large that a call into ezkl is worth it."""
    length = m.values(m.name, 0, 1).shape[1] + len(m.tails(m.name, range(1))[0])
    if length > (1 << srs.k) - MAX_BLANK:
        raise InputError(f"a row of {length} entries does not fit a domain of 2^{srs.k} rows")
    size = max(1, min(_FELTS_A_CALL // length, -(-m.count // 4)))
    return [(i, min(i + size, m.count)) for i in range(0, m.count, size)]


def _content(srs: Srs, m: Rows, start: int, stop: int) -> tuple[np.ndarray, list[list[int]]]:
    values = m.values(m.name, start, stop)
    if max(int(values.max(initial=0)), -int(values.min(initial=0))) > MAX_ENTRY:
        raise InputError(f"an entry is beyond {MAX_ENTRY} in magnitude; quantise to fewer bits")
    return np.ascontiguousarray(values), m.tails(m.name, range(start, stop))


# --- in the child process ------------------------------------------------------------------------


class _Stretches:
    """Slices of the SRS that cover rows of `width` small and `tail` full-size entries."""

    def __init__(self, srs: Srs, folder: Path, width: int, tail: int):
        self.vk, self.settings = _tiny_key(srs, folder)
        blank_rows = self._blank_rows(srs, folder)
        n = 1 << srs.k
        self.ones = bn254.sum_groups([srs.lagrange(0, width)])[0]
        self.stretches: list[tuple[int, int, int, Path]] = []  # begin, end, usable rows, slice
        surplus: list[Point] = []  # what ezkl's ones in the reserved rows of every slice add up to
        for start, stop in ((0, width), (width, width + tail)):
            k = _stretch_k(stop - start, blank_rows)
            usable = (1 << k) - blank_rows
            for begin in range(start, stop, usable):
                path = folder / f"{begin}.srs"
                slice_srs(srs, k, begin, path)
                self.stretches.append((begin, min(begin + usable, stop), usable, path))
                first = min(begin + usable, n)
                present = min(blank_rows, n - first)
                surplus += srs.lagrange(first, present)
                surplus += [bn254.GENERATOR] * (blank_rows - present)
        self.surplus = bn254.sum_groups([surplus])[0]

    def commit(self, felts: list[str], file: Path) -> list[Point]:
        """Commitments (B included) of consecutive stretches of `usable` entries each."""
        import ezkl

        points = ezkl.kzg_commit(felts, str(self.vk), str(self.settings), str(file))
        return [bn254.from_ezkl(point) for point in points]

    def _blank_rows(self, srs: Srs, folder: Path) -> int:
        """How many rows this ezkl reserves, read off its commitment to nothing."""
        path = folder / "blank.srs"
        slice_srs(srs, _BLANK_K, 0, path)
        (target,) = self.commit(["00" * 32], path)
        total: Point = None
        n = 1 << _BLANK_K
        for rows in range(1, MAX_BLANK + 1):
            total = bn254.add(total, srs.lagrange(n - rows, 1)[0])
            if total == target:
                return rows
        raise EnvironmentLacks("this ezkl commits in a way this program does not know")


def _stretch_k(length: int, blank_rows: int) -> int:
    """The cheapest stretch size: a stretch costs about its rows plus 128."""

    def cost(k: int) -> int:
        return -(-length // ((1 << k) - blank_rows)) * ((1 << k) + 128)

    smallest = blank_rows.bit_length()  # the first with a row left
    return min(range(smallest, MAX_STRETCH_K + 1), key=cost)


def _tiny_key(srs: Srs, folder: Path) -> tuple[Path, Path]:
    """(verifying key, settings) of the smallest circuit there is.

    kzg_commit reads from them only how many rows a circuit reserves. Needs the onnx library.
    """
    try:
        import ezkl
        import onnx
    except ImportError as error:
        raise EnvironmentLacks(
            f"committing needs onnx and ezkl ({error}); install the extra 'prove'"
        ) from error
    names = [onnx.helper.make_tensor_value_info(name, 1, [1]) for name in "xy"]
    node = onnx.helper.make_node("Add", ["x", "x"], ["y"])
    graph = onnx.helper.make_graph([node], "tiny", names[:1], names[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx_file, settings, circuit = (folder / n for n in ("t.onnx", "t.json", "t.ezkl"))
    vk, pk, small = (folder / n for n in ("t.vk", "t.pk", "t.srs"))
    onnx.save(model, str(onnx_file))
    arguments: Any = ezkl.PyRunArgs()
    arguments.input_visibility = "polycommit"
    arguments.output_visibility = "public"
    arguments.logrows = _BLANK_K
    arguments.num_inner_cols = 1
    arguments.decomp_base, arguments.decomp_legs = 4, 2
    arguments.ignore_range_check_inputs_outputs = True
    ezkl.gen_settings(str(onnx_file), str(settings), py_run_args=arguments)
    ezkl.compile_circuit(str(onnx_file), str(circuit), str(settings))
    slice_srs(srs, _BLANK_K, 0, small)
    setup: Any = ezkl.setup  # its stub makes optional arguments required
    setup(str(circuit), str(vk), str(pk), str(small))
    if json.loads(settings.read_text())["run_args"]["logrows"] != _BLANK_K:
        raise EnvironmentLacks("this ezkl changes a circuit's size unasked")
    return vk, settings


_known: dict[tuple[Srs, int, int], _Stretches] = {}


@functools.cache
def _small_felts() -> list[str]:
    return [value.to_bytes(32, "little").hex() for value in range(2 * MAX_ENTRY + 1)]


def _commit_block(srs: Srs, folder: str, values: np.ndarray, tails: list[list[int]]) -> list[Point]:
    """The commitments of a block of rows (see commit_rows); keeps its SRS slices for the next.

    ezkl reads them anew at each call. Where it cannot (something swept the folder of temporary
    files, the disk is failing) they are written once more, elsewhere.
    """
    key = (srs, values.shape[1], len(tails[0]))
    try:
        return _commit_with(_stretches(key, folder), values, tails)
    except OSError:
        _known.pop(key, None)
    try:
        return _commit_with(_stretches(key, folder), values, tails)
    except OSError as error:
        raise EnvironmentLacks(
            f"temporary files in {folder} cannot be written or do not stay there ({error}); "
            "TMPDIR may name another place"
        ) from error


def _stretches(key: tuple[Srs, int, int], folder: str) -> _Stretches:
    if key not in _known:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        own = tempfile.mkdtemp(dir=folder)  # the parent removes it, however this process ends
        _known[key] = _Stretches(key[0], Path(own), *key[1:])
    return _known[key]


def _commit_with(stretches: _Stretches, values: np.ndarray, tails: list[list[int]]) -> list[Point]:
    small = _small_felts()
    offset = int(np.abs(values.astype(np.int64)).max(initial=0))
    rows = [
        [small[v] for v in row] + [(t % R).to_bytes(32, "little").hex() for t in tail]
        for row, tail in zip((values.astype(np.int64) + offset).tolist(), tails, strict=True)
    ]
    correction = bn254.negate(bn254.add(stretches.surplus, bn254.multiply(stretches.ones, offset)))
    groups = [[correction] for _ in rows]
    for begin, end, usable, file in stretches.stretches:
        padding = [small[0]] * (usable - (end - begin))
        felts: list[str] = []
        for row in rows:
            felts += row[begin:end]
            felts += padding
        points = stretches.commit(felts, file)
        for group, point in zip(groups, points[: len(rows)], strict=True):
            group.append(point)
    return bn254.sum_groups(groups)
