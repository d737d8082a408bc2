"""The texts that derivations train on."""

from __future__ import annotations

import numpy as np

from research.derivations import corpus as module
from research.derivations.corpus import functions, functions_of, load_texts, windows

CODE = '''
import os


class A:
    def one(self, x):
        """Give x back.

        It is not looked at.
        """
        return x

    def undocumented(self):
        return 2


def two():
    "Nothing but a docstring."


async def three(
    a,
):
    """Three."""
    if a:
        return 1
    return 2
'''


def test_functions_split_after_the_docstring():
    found = functions(CODE)
    assert len(found) == 2  # neither the undocumented one nor the one without a body
    bodies = {prompt.strip().split("(")[0]: (prompt, body) for prompt, body in found}
    prompt, body = bodies["def one"]
    assert prompt.endswith('"""\n') and "not looked at" in prompt
    assert body == "        return x\n"
    assert bodies["async def three"][1] == "    if a:\n        return 1\n    return 2\n"


def test_modules_that_do_not_parse_together_still_give_their_functions():
    joined = CODE + "\nfrom __future__ import annotations\n" + CODE + "\ndef broken(:\n    pass\n"
    assert functions(joined) == []
    assert sorted(functions_of(joined)) == sorted(2 * functions(CODE))


def test_windows_are_cut_from_the_text():
    ids = np.arange(100, 200, dtype=np.int32)
    got = windows(ids, np.random.default_rng(0), 7, 9)
    assert got.shape == (7, 9) and got.dtype == np.int64
    assert np.array_equal(got - got[:, :1], np.tile(np.arange(9), (7, 1)))
    assert got.min() >= 100 and got.max() < 200


def test_held_out_text_is_not_trained_on(monkeypatch):
    monkeypatch.setattr(module, "corpus", lambda: ("seen" * 10, CODE + "x" * 60_000))
    numbered = iter(range(10))

    def encode(text):
        if len(text) < 1000 and text != "seen" * 10:
            return list(text.encode())
        next(numbered)
        return list(range(len(text)))  # every token another, so that overlap shows

    texts = load_texts(encode)
    assert len(texts.seen) == 40
    assert set(texts.new.tolist()) & set(texts.held_out.tolist()) == set()
    assert len(texts.new) + len(texts.held_out) == len(CODE) + 60_000
    assert 0.05 < len(texts.held_out) / len(texts.new) < 0.15
    assert [bytes(p.response.tolist()).decode()[:13] for p in texts.pairs] == [
        "        retur",
        "    if a:\n   ",
    ]
