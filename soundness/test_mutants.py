"""Circuits that differ from the true one in one piece, proven honestly under keys of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from huref_zk.circuit import halo2
from huref_zk.circuit.graph import build_graph
from huref_zk.invariants.encoder import (
    CONDITIONS,
    NORM_MAX,
    NORM_MIN,
    V_LENGTH,
    encode_exact,
    load_encoder,
)
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.native.ezkl import EzklFailed
from huref_zk.render import render
from huref_zk.render.image import write_png
from soundness.cheats.halo2 import rows_under
from soundness.mutants import (
    CONDITION_MUTANTS,
    MUTANTS,
    NONE,
    SALTED,
    Mutant,
    derive,
    evaluate,
    prove,
)
from soundness.record import control
from soundness.slack import measure
from tests.support.circuit_rows import maps_with_norms, rows_of_maps
from tests.support.tampering import accepted, forge, pack_bundle, refused

LIGHT = {"relu"}
REST = [0, 0, 0]
# A unit out of range; and far out, where a guess of the inverse is 0 or 1.
OUT_OF_RANGE = {"large": (NORM_MIN - 1, 40), "small": (NORM_MAX + 1, 93_000_001)}


@pytest.fixture(scope="module")
def rows(chain):
    """The rows of the chain's model that the honest circuit is about."""
    return rows_under(chain.owner, PUBLIC_SEED)


def case(mutant: Mutant):
    heavy = () if mutant.name in LIGHT else (pytest.mark.heavy,)
    return pytest.param(mutant, id=mutant.words, marks=heavy)


@pytest.mark.attack(
    "Circuit",
    control="under the mutant's own key; the true circuit",
    each=True,
)
@pytest.mark.parametrize("mutant", [case(mutant) for mutant in MUTANTS])
def test_mutant(chain, rows, tmp_path, mutant):
    """A circuit mutated in one piece, its v, picture, header and projection proof all honest"""
    shape = chain.prepared.shape
    found = evaluate(mutant, shape, rows, tmp_path)
    v = found[:V_LENGTH]
    assert found[V_LENGTH:] == [CONDITIONS, *REST]
    assert (tuple(v) == chain.bundle.v) == mutant.same_v
    keys = derive(mutant, shape, chain.srs, tmp_path / "mutant")
    # The weights that the true verifier will draw.
    keys = replace(keys, record=replace(keys.record, vk=chain.keys.record.vk))
    try:
        proof = prove(mutant, rows, v, keys, chain.srs)
    finally:
        keys.pk.unlink()
    bundle = forge(chain, v=tuple(v), proof=proof)
    picture = tmp_path / "picture.png"
    write_png(picture, render(v, chain.generator))
    refused(5, "does not verify", chain, bundle, image=picture)

    # The control: under the mutant's own verifying key, nothing is wrong with this proof.
    with control():
        assert halo2.check(proof, [*v, CONDITIONS], keys, chain.srs) is None
    # And the honest proof is refused there: the two keys are not one.
    honest = [*chain.bundle.v, CONDITIONS]
    assert "does not verify" in str(halo2.check(chain.bundle.proof, honest, keys, chain.srs))
    # The mutation undone.
    assert pack_bundle(forge(chain)) == chain.bundle_file.read_bytes()
    accepted(chain)


@pytest.mark.parametrize("mutant", CONDITION_MUTANTS, ids=lambda mutant: mutant.name)
def test_a_condition_removed_alone_lets_through_what_it_should_stop(chain, tmp_path, mutant):
    """Its own map, a unit out of range: the true circuit counts eleven, this one twelve."""
    shape, encoder = chain.prepared.shape, load_encoder()
    side, index = mutant.name.split("-")
    sizes = [(1 << 15) + t for t in range(6)]
    sizes[int(index)] = OUT_OF_RANGE[side][0]
    maps = maps_with_norms(shape, sizes)
    v = encode_exact(encoder, maps, shape.shift)
    rows = rows_of_maps(shape, maps)
    assert evaluate(NONE, shape, rows, tmp_path) == [*v, CONDITIONS - 1, *REST]
    assert evaluate(mutant, shape, rows, tmp_path) == [*v, CONDITIONS, *REST]
    # Another map's condition is another matter.
    other = maps_with_norms(shape, [*sizes[1:], sizes[0]])
    assert evaluate(mutant, shape, rows_of_maps(shape, other), tmp_path)[V_LENGTH] == 11


@pytest.mark.parametrize("side", ["large", "small"])
def test_what_a_map_out_of_range_would_win(chain, side):
    """Far out, a cheating witness turns v by a picture's worth: why the range is demanded."""
    shape = chain.prepared.shape
    far = OUT_OF_RANGE[side][1]
    sizes = [far] + [1 << 15] * 5
    won = measure(maps_with_norms(shape, sizes), shape.shift).between
    within = measure(maps_with_norms(shape, [1 << 15] * 6), shape.shift).between
    assert won > 0.05 > 100 * within


@pytest.mark.attack(
    "A prover whose header names the circuit or the encoder it really used",
    control="the true circuit and encoder named",
)
@pytest.mark.parametrize("mutant", [m for m in MUTANTS if m.name in ("filt", "w1", "w2", "b2")])
def test_mutant_that_says_so(chain, mutant):
    encoder = mutant.encoder(load_encoder())
    refused(3, "another encoder", chain, forge(chain, claim={"encoder": encoder.digest}))
    longer = replace(chain.prepared.shape, shift=chain.prepared.shape.shift + 1)
    refused(3, "another circuit", chain, forge(chain, claim={"circuit": longer.digest}))
    accepted(chain, forge(chain, claim={"encoder": load_encoder().digest}))


def test_a_salt_column_in_the_mask(chain, rows, tmp_path):
    """Salts fill the field, so the products of the rows are no maps that have a witness; where the
    salts are small, they are."""
    shape = chain.prepared.shape
    assert tuple(evaluate(NONE, shape, rows, tmp_path)[:V_LENGTH]) == chain.bundle.v
    salted = evaluate(SALTED, shape, rows, tmp_path)
    assert salted[-3:-1] == [0, 0] and salted[-1] != 0  # term f, whose rows end in salts
    full = replace(SALTED, maps=with_last_entry)
    with pytest.raises(EzklFailed, match="gen_witness"):
        evaluate(full, shape, rows, tmp_path)
    small = [[*row[:-1], 3] for row in rows]
    assert evaluate(full, shape, small, tmp_path)[V_LENGTH:] == [CONDITIONS, *REST]


def with_last_entry(rows):
    """The maps of rows whose last salts count as well."""
    maps = NONE.maps(rows)
    for s in range(2):
        for a in range(16):
            for b in range(16):
                maps[3 * s + 2][a][b] += rows[16 * s + a][-1] * rows[32 + b][-1]
    return maps


def test_no_mutation_is_the_true_graph(chain):
    """Undone, each mutation leaves the graph that the keys are of, byte for byte."""
    shape, encoder = chain.prepared.shape, load_encoder()
    honest = build_graph(shape, encoder)
    assert NONE.build(shape, encoder) == honest
    every = [m for m in (*MUTANTS, *CONDITION_MUTANTS, SALTED) if not m.arguments]
    graphs = {m.name: m.build(shape, encoder) for m in every}
    assert len(set(graphs.values())) == len(graphs)
    assert honest not in graphs.values()


def test_names():
    assert {mutant.name for mutant in MUTANTS} >= LIGHT
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
