"""What ties the rows of E, and their order, to what the model reads and says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from huref_zk.errors import InputError
from huref_zk.proofs.inference.claims import normalised
from huref_zk.proofs.inference.logits import SERVED, logits_of, read_served
from huref_zk.proofs.inference.prove import make_audit
from tests.support.audited import COUNT, NONCE, commit_to, witness_of

ORDER = np.random.default_rng(2).permutation(64)


def shuffled(matrices):
    matrices["E"] = matrices["E"][ORDER]


@pytest.fixture(scope="module")
def upper(tied_owning):
    """The tied model, only its last layer audited: nothing is known of what enters layer 0."""
    return tied_owning(layers=(1,))


@pytest.fixture(scope="module")
def shuffler(tied_owning):
    """An owner whose commitment has the rows of E in another order than it says."""
    return tied_owning(shuffled)


@pytest.fixture(scope="module")
def upper_shuffler(tied_owning):
    return tied_owning(shuffled, layers=(1,))


def all_positions(owner, **changes):
    return owner.demand(positions=None, **changes)


def test_an_honest_tied_model(tied, tied_served):
    count = len(tied.run.ids)
    audit, report, _ = make_audit(
        tied.held, tied.run, tied.tokens, NONCE, None, tied.srs, tied.cache
    )
    assert audit.head.output == "E"
    named = sum(i in tied.tokens for i in tied.run.ids)
    assert report.facts["measured"]["named"] == named > 2
    report = tied.report(audit, all_positions(tied, served=tied_served))
    said = report.facts["logits"]
    assert (said["matrix"], said["compared"]) == ("E", count) and said["served"] < SERVED / 5


def test_claimed_logits_are_the_models(tied, tied_served, owner, base_served):
    """Differences of logits, which is what the softmax keeps, within a few hundredths."""
    for each, served in ((tied, tied_served), (owner, base_served)):
        audit = each.audit()
        head = audit.head
        found = logits_of(each.held.descriptor, head, audit.claims)
        for row, position in zip(found, each.places(head).positions, strict=True):
            gap = row - np.array([served[position][t] for t in each.tokens])
            assert gap.std() < 0.05 < row.std()


def test_the_recipe_of_the_authors(tied_owning, tied_served):
    """E holds plain embeddings there: norms are ones, the lookup is of the stream itself."""
    official = tied_owning(recipe="official")
    audit = official.audit()
    assert np.all(audit.claims.output.norms == 1)
    report = official.report(audit, official.demand(served=tied_served))
    assert report.facts["logits"]["compared"] == COUNT
    audit = official.audit(count=len(official.run.ids))
    report = official.report(audit, all_positions(official))
    assert report.facts["measured"]["named"] > 2


# --- E's rows in another order -------------------------------------------------------------------


def test_the_lookup_refuses_them(shuffler, tied):
    """Where layer 0 is audited: neither the committed rows nor the true ones will do."""
    count = len(tied.run.ids)
    audit = shuffler.audit(count=count)
    step, message = shuffler.refusal(audit, all_positions(shuffler))
    assert step == "public" and "E's row of the token is not what enters layer 0" in message

    def true_rows(claims):
        return replace(claims, rows=tied.audit(count=count).claims.rows)

    step, message = shuffler.refusal(
        shuffler.audit(true_rows, count=count), all_positions(shuffler)
    )
    assert (step, message.split(":")[0]) == ("linear", "embeddings")
    assert tied.refusal(tied.audit(count=count), all_positions(tied)) == ("", "")


def true_logits(upper):
    """The logits of the honest commitment."""

    def change(claims):
        s = upper.audit(count=len(upper.run.ids)).claims.output.s
        return replace(claims, output=replace(claims.output, s=s))

    return change


def fitted_norms(owner, served):
    """Norms that bring the committed rows as near to what was served as any can."""

    def change(claims):
        head = owner.head(count=len(owner.run.ids))
        ones = replace(claims, output=replace(claims.output, norms=np.ones((1, 64), np.float32)))
        base = logits_of(owner.held.descriptor, head, ones)
        wanted = np.array([[served[p][t] for t in owner.tokens] for p in range(len(base))])
        base, wanted = (x - x.mean(axis=1, keepdims=True) for x in (base, wanted))
        norms = np.maximum((base * wanted).sum(axis=0) / (base * base).sum(axis=0), 1e-6)
        output = replace(claims.output, norms=norms[None].astype(np.float32))
        return replace(claims, output=output)

    return change


def test_served_logits_refuse_them(upper_shuffler, upper, tied_served):
    """Where only the last layer is audited: what the committed rows give is not what was served,
    whatever norms the owner gives; and what was served is not what they give."""
    count = len(upper.run.ids)
    demand = all_positions(upper, served=tied_served)
    assert upper.refusal(upper.audit(count=count), demand) == ("", "")
    for change in (None, fitted_norms(upper_shuffler, tied_served)):
        audit = upper_shuffler.audit(change, count=count)
        step, message = upper_shuffler.refusal(audit, demand)
        assert step == "public" and "not those that were served" in message
    audit = upper_shuffler.audit(true_logits(upper), count=count)
    step, message = upper_shuffler.refusal(audit, demand)
    assert (step, message.split(":")[0]) == ("linear", "logits")


def test_without_layer_0_and_what_was_served_nothing_refuses_them(upper_shuffler):
    """What docs/inference-audit.md says is not established."""
    audit = upper_shuffler.audit(count=len(upper_shuffler.run.ids))
    assert upper_shuffler.refusal(audit, all_positions(upper_shuffler)) == ("", "")


def test_output_rows_in_another_order(owner, base_served):
    def edit(matrices):
        matrices["O"] = matrices["O"][ORDER]

    witness, _ = witness_of("demo-base", owner.srs, (2, 3), True, edit)
    other = replace(owner, held=commit_to(witness, owner.srs))
    assert other.refusal(other.audit()) == ("", "")
    demand = owner.demand(served=base_served)
    step, message = other.refusal(other.audit(), demand)
    assert step == "public" and "not those that were served" in message
    assert owner.refusal(owner.audit(), demand) == ("", "")


# --- what was served -----------------------------------------------------------------------------


def test_a_token_served_once_says_nothing_of_a_row_of_e(upper, owner, tied_served, base_served):
    """An owner's norm can make any one logit come out; O has the norms in its committed rows."""
    for each, served, enough in ((upper, tied_served, False), (owner, base_served, True)):
        positions = each.places(each.head()).positions
        once = {positions[0]: served[positions[0]]}
        step, message = each.refusal(each.audit(), each.demand(served=once))
        assert (step == "") if enough else (step == "public" and "can be compared" in message)


def test_nothing_to_compare(owner, upper, base_served):
    audit = owner.audit()
    outside = next(t for t in range(4160) if t not in owner.tokens)
    for served in ({}, {p: {outside: -1.0} for p in range(18)}, {99: base_served[0]}):
        step, message = owner.refusal(audit, owner.demand(served=served))
        assert step == "public" and "can be compared" in message


def test_one_served_value(owner, base_served):
    position = owner.places(owner.head()).positions[2]
    said = dict(base_served[position])
    said[owner.tokens[0]] += 8.0
    step, message = owner.refusal(
        owner.audit(), owner.demand(served={**base_served, position: said})
    )
    assert step == "public" and f"first at {position}" in message
    shifted = {p: {t: v - 3.0 for t, v in row.items()} for p, row in base_served.items()}
    assert owner.refusal(owner.audit(), owner.demand(served=shifted)) == ("", "")


def test_files_of_what_was_served(tmp_path):
    path = tmp_path / "served.json"
    path.write_text('{"3": {"17": -0.5, "2": -1}, "4": {}}')
    assert read_served(path) == {3: {17: -0.5, 2: -1.0}, 4: {}}
    for wrong in (
        *("", "[]", "3", '{"a": {}}', '{"3": [1]}', '{"3": {"x": 1}}', '{"3": {"1": null}}'),
        '{"3": {"1": NaN}}',
    ):
        path.write_text(wrong)
        with pytest.raises(InputError):
            read_served(path)


def test_the_stream_that_leaves_the_model(tied):
    """z is gain times the normalised last stream, to the last unit."""
    audit = tied.audit()
    output, head = audit.claims.output, audit.head
    wanted = normalised(audit.claims.layers[1].h_out, head.eps) * output.gain
    assert np.abs(wanted * 2.0 ** head.scales["z"][0] - output.z).max() <= 0.51
