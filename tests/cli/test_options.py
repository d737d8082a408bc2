"""Options that are parsed before a command runs."""

from __future__ import annotations

import click
import pytest

from huref_zk.cli.common import parse_layers


@pytest.mark.parametrize(
    "text, expected", [(None, None), ("28,29", (28, 29)), (" 1 , 0 ", (1, 0)), ("3", (3,))]
)
def test_layers(text, expected):
    assert parse_layers(None, None, text) == expected


@pytest.mark.parametrize("text", ["", "a,b", "1;2", "1,", "1.5,2", "1-2"])
def test_layers_that_are_none(text):
    with pytest.raises(click.BadParameter, match="write two layer numbers"):
        parse_layers(None, None, text)
