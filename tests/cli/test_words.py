"""What `inspect` prints of a file: everything it claims, and nothing that acts on a terminal."""

from __future__ import annotations

from dataclasses import replace

from huref_zk.cli.words import bundle_in_words, commitment_in_words


def test_every_claim_is_shown(chain):
    text = "\n".join(commitment_in_words(chain.commitment) + bundle_in_words(chain.bundle))
    d, h = chain.commitment.descriptor, chain.bundle.header
    for value in (*d["model"].values(), *d["layers"], *d["widths"], *d["tokens"].values()):
        assert str(value) in text
    for name, value in (*d["scales"].items(), ("root", chain.commitment.root_hex), *h.items()):
        assert name == "format" or str(value) in text, name
    assert "TEST setup" in text
    assert "(this program's)" in text
    assert "(not the embedded one)" in text


def test_what_is_not_ours_is_said(chain):
    header = {**chain.bundle.header, "encoder": "00" * 32, "seed": "11" * 32}
    text = "\n".join(bundle_in_words(replace(chain.bundle, header=header)))
    assert "(not this program's)" in text
    assert "(not the public one)" in text
    srs = {"kind": "ceremony", "sha256": "22" * 32}
    other = replace(chain.commitment, descriptor={**chain.commitment.descriptor, "srs": srs})
    text = "\n".join(commitment_in_words(other))
    assert "a ceremony's setup" in text
    assert "TEST" not in text


def test_control_codes_are_quoted(chain):
    model = {**chain.commitment.descriptor["model"], "x\x1b[2J": "\x1b]0;title\x07", "y": "a\nb"}
    scales = {**chain.commitment.descriptor["scales"], "\x1b[1m": 3}
    descriptor = {**chain.commitment.descriptor, "model": model, "scales": scales}
    lines = commitment_in_words(replace(chain.commitment, descriptor=descriptor))
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert any("\\x1b]0;title" in line for line in lines)
