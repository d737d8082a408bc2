"""Circuits that differ from the true one in one piece, proven honestly under keys of their own."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace

import pytest
from huref_zk.argument.projection_prover import prove_projection

from huref_zk.argument.transcript import Transcript
from huref_zk.circuit.graph import build_graph
from huref_zk.commitment.salts import SALTS
from huref_zk.invariants.encoder import P, load_encoder
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.native import ezkl as runner
from huref_zk.proofs.picture.prove import prove_circuit
from huref_zk.render import render
from huref_zk.render.image import write_png
from huref_zk.srs.insecure import insecure_file as srs_test_file
from soundness.mutants import (
    MUTANTS,
    NONE,
    SALTED,
    Mutant,
    derive,
    evaluate,
    scratch,
    witness_output,
)
from soundness.record import aside
from tests.support.tampering import accepted, forge, pack_bundle, refused

LIGHT = {"query-key", "relu"}  # one of the maps, one of the encoder


@pytest.fixture(scope="module")
def rows(chain):
    """The rows of the chain's model that the honest circuit reads: (2 P, L + salts) integers."""
    _, rows = prove_projection(
        chain.prepared.quantised,
        chain.secret,
        chain.commitment,
        PUBLIC_SEED,
        P,
        Transcript(b""),
        chain.srs,
    )
    return rows


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
    keys = derive(mutant, shape, chain.srs, tmp_path / "mutant")
    try:
        with scratch() as folder:
            v = witness_output(keys.circuit, rows, folder)
        assert (tuple(v) == chain.bundle.v) == mutant.same_v
        proof = prove_circuit(rows, v, keys, chain.srs, lambda _: None)
    finally:
        keys.pk.unlink()
    bundle = forge(chain, v=tuple(v), proof=proof)
    picture = tmp_path / "picture.png"
    write_png(picture, render(v, chain.generator))
    refused(5, "does not verify", chain, bundle, image=picture)

    # The control: under the mutant's own verifying key, nothing is wrong with this bundle.
    cache = tmp_path / "cache"
    folder = cache / chain.keys.folder.name
    shutil.copytree(keys.folder, folder)
    shutil.copy(chain.srs.path, srs_test_file(chain.srs.k, cache))
    (folder / "record.json").write_text(
        json.dumps(asdict(replace(keys.record, circuit=chain.keys.record.circuit)))
    )
    accepted(chain, bundle, image=picture, cache=cache)
    # And the honest bundle is refused there: the two keys are not one.
    with aside():
        refused(5, "does not verify", chain, chain.bundle, cache=cache)
    # The mutation undone.
    assert pack_bundle(forge(chain)) == chain.bundle_file.read_bytes()
    accepted(chain)


@pytest.mark.attack(
    "A prover whose header names the circuit or the encoder it really used",
    control="the true circuit and encoder named",
)
@pytest.mark.parametrize("mutant", [m for m in MUTANTS if m.name in ("filt", "w1", "w2", "b2")])
def test_mutant_that_says_so(chain, mutant):
    encoder = mutant.encoder(load_encoder())
    refused(3, "another encoder", chain, forge(chain, header={"encoder": encoder.digest}))
    longer = replace(chain.prepared.shape, shift=chain.prepared.shape.shift + 1)
    refused(3, "another circuit", chain, forge(chain, header={"circuit": longer.digest}))
    accepted(chain, forge(chain, header={"encoder": load_encoder().digest}))


def test_a_salt_column_in_the_mask(chain, rows, tmp_path):
    """Salts fill the field; the maps leave every range. With small salts there is a witness."""
    shape = chain.prepared.shape
    with pytest.raises(runner.EzklFailed, match="gen_witness"):
        evaluate(SALTED, shape, rows, tmp_path)
    assert tuple(evaluate(NONE, shape, rows, tmp_path)) == chain.bundle.v
    small = [[*row[: shape.length], *range(1, 1 + SALTS)] for row in rows]
    assert len(evaluate(SALTED, shape, small, tmp_path)) == len(chain.bundle.v)


def test_no_mutation_is_the_true_graph(chain):
    """Undone, each mutation leaves the graph that the keys are of, byte for byte."""
    shape, encoder = chain.prepared.shape, load_encoder()
    honest = build_graph(shape, encoder)
    assert NONE.build(shape, encoder) == honest
    assert (chain.keys.folder / "graph.onnx").read_bytes() == honest
    graphs = {m.build(shape, encoder) for m in (*MUTANTS, SALTED) if not m.arguments}
    assert len(graphs) == 1 + len([m for m in MUTANTS if not m.arguments])
    assert honest not in graphs


def test_light_names_are_mutants():
    assert {mutant.name for mutant in MUTANTS} >= LIGHT
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
