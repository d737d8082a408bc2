"""Options that are parsed before a command runs."""

from __future__ import annotations

import json

import click
import pytest
from click.testing import CliRunner

from huref_zk.cli import main
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


def test_a_challenge_is_a_fresh_seed():
    seeds = []
    for _ in range(2):
        result = CliRunner().invoke(main, ["challenge", "--json"])
        assert result.exit_code == 0
        seeds.append(json.loads(result.stdout)["seed"])
    assert len({bytes.fromhex(seed) for seed in seeds}) == 2
    assert all(len(seed) == 64 for seed in seeds)
    # And it is what --seed takes: the command goes on to its next complaint.
    for seed, words in ((seeds[0], "neither a commitment file"), (seeds[0][1:], "64 hex digits")):
        told = CliRunner().invoke(
            main, ["verify", "x", "--commitment", "y", "--image", "z", "--seed", seed]
        )
        assert told.exit_code == 2
        assert words in told.stderr
