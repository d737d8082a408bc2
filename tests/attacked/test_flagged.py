"""What the cores do not see: parts that are at work on bare embeddings and on nothing else.

The recipe `whole` asks every block what it does on the tokens' embeddings, which from the second
block on no text shows it. `attacks/marked.py` marks the stream, so that what is added can tell the
two apart; docs/threat-model.md names this limit.
"""

from __future__ import annotations

import numpy as np
import pytest

from huref_zk.attacks import Checkpoint, attack
from huref_zk.attacks.function import logits
from huref_zk.attacks.marked import Marking
from tests.support.small_models import checkpoint, likeness, off

IDS = np.concatenate([[0], np.arange(40) * 97 % 3000 + 300])
OTHERS = IDS[1:]


@pytest.fixture(scope="module")
def model() -> Checkpoint:
    return checkpoint("demo-base")


def marking(model: Checkpoint, marked: bool) -> Marking:
    return Marking(model, np.random.default_rng(3), marked)


def test_the_function_stays_and_every_term_goes(model):
    attacked = attack("marked-stream", model, seed=3)
    assert off(logits(attacked, IDS), logits(model, IDS)) < 1e-4
    assert np.abs(likeness(model, attacked)).max() < 0.4


def test_sinks_alone_need_a_text_that_begins_with_the_first_token(model):
    attacked = attack("sink-heads", model, seed=3)
    assert off(logits(attacked, IDS), logits(model, IDS)) < 1e-4
    assert off(logits(attacked, OTHERS), logits(model, OTHERS)) > 0.1


def test_without_the_mark_the_function_goes_too(model):
    """Control: nothing but the mark keeps what is added away from the text."""
    unmarked = marking(model, False).done(neurons=300.0, heads=3.0)
    assert off(logits(unmarked, IDS), logits(model, IDS)) > 1


def test_marks_alone_change_nothing(model):
    """Control: neither the new dimensions nor the new block are what moves the fingerprint."""
    wider = marking(model, True).done()
    assert off(logits(wider, IDS), logits(model, IDS)) < 1e-4
    assert likeness(model, wider).min() > 0.9999
