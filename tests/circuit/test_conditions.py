"""Norms in range: the circuit counts the conditions that hold, at both ends of the range."""

from __future__ import annotations

import pytest

from huref_zk.circuit import halo2
from huref_zk.circuit.shape import TERMS, shape_for
from huref_zk.errors import InputError
from huref_zk.invariants.encoder import (
    CONDITIONS,
    NORM_MAX,
    NORM_MIN,
    encode_exact,
    load_encoder,
    norms,
)
from tests.support.circuit_rows import columns_of, maps_with_norms, output_of, rows_of_maps

SMALL = shape_for(16)
MIDDLE = 1 << 15


def test_the_range():
    assert (NORM_MIN, NORM_MAX, CONDITIONS) == (8192, 131072, 12)


@pytest.mark.parametrize(
    ("changed", "held"),
    [
        ({}, 12),
        ({0: NORM_MIN}, 12),
        ({0: NORM_MIN - 1}, 11),
        ({5: NORM_MAX}, 12),
        ({5: NORM_MAX + 1}, 11),
        ({1: NORM_MIN - 1, 2: NORM_MAX + 1, 3: NORM_MIN - 100}, 9),
        (dict.fromkeys(range(6), NORM_MAX), 12),
        (dict.fromkeys(range(6), NORM_MAX + 1), 6),
        (dict.fromkeys(range(6), NORM_MIN), 12),
        (dict.fromkeys(range(6), NORM_MIN - 1), 6),
    ],
    ids=str,
)
def test_conditions_that_hold_are_counted(circuit, tmp_path, changed, held):
    wanted = [changed.get(t, MIDDLE + t) for t in range(6)]
    maps = maps_with_norms(SMALL, wanted)
    assert norms(load_encoder(), maps, SMALL.shift) == wanted
    found = output_of(circuit, columns_of(rows_of_maps(SMALL, maps)), tmp_path)
    assert found[-1 - TERMS :] == [held, 0, 0, 0]
    assert found[:512] == encode_exact(load_encoder(), maps, SMALL.shift)


def test_the_prover_says_so_before_it_proves(derived):
    maps = maps_with_norms(SMALL, [MIDDLE] * 5 + [NORM_MAX + 1])
    outputs = [*encode_exact(load_encoder(), maps, SMALL.shift), CONDITIONS]
    said: list[str] = []
    with pytest.raises(InputError, match="only 11 of the circuit's 12 conditions hold"):
        halo2.prove(rows_of_maps(SMALL, maps), outputs, derived.keys, derived.srs, said.append)
    assert said[-1] == "witness"  # the control is test_halo2.py: a proof
