"""What a commitment or a bundle claims, in words, for `inspect`. Judges nothing."""

from __future__ import annotations

from huref_zk.bundle import Bundle
from huref_zk.circuit.encoder import load_encoder
from huref_zk.commit.commitment import Commitment
from huref_zk.errors import HurefError
from huref_zk.render import load_generator
from huref_zk.sketch import PUBLIC_SEED


def commitment_in_words(commitment: Commitment) -> list[str]:
    """One line a topic."""
    d = commitment.descriptor
    model = ", ".join(f"{_safe(k)} {_safe(v)}" for k, v in sorted(d["model"].items()))
    scales = ", ".join(f"{_safe(k)} 2^-{v}" for k, v in sorted(d["scales"].items()))
    layers = ", ".join(map(str, d["layers"]))
    setup = {
        "test": "the TEST setup, under which anybody can forge proofs",
        "ceremony": "a ceremony's setup",
    }.get(d["srs"]["kind"], "a setup that nobody knows")
    a, b, f = d["widths"]
    return [
        f"root: {commitment.root_hex}",
        f"model: {model}",
        f"layers proven: {layers}; term widths {a} (QK), {b} (VO), {f} (FFN)",
        f"tokens: {d['tokens']['count']}, SHA-256 of their ids {d['tokens']['digest']}",
        f"scales of the integers: {scales}",
        f"committed rows: {len(commitment.E_points)} of E, {commitment.hidden} each of U and V; "
        f"{d['salts']} salts a row, domain of 2^{d['domain_k']}",
        f"setup: {setup}, {d['srs']['sha256']}",
        f"committed with ezkl {_safe(d['ezkl'])}",
    ]


def bundle_in_words(bundle: Bundle) -> list[str]:
    """As commitment_in_words, of what the bundle adds to its commitment."""
    h = bundle.header
    public = "the public one" if h["seed"] == PUBLIC_SEED.hex() else "not the public one"
    return [
        f"the bundle claims root {h['root']}",
        f"seed: {h['seed']} ({public})",
        f"circuit: {h['circuit']}",
        f"encoder: {h['encoder']} ({_ours(h['encoder'], load_encoder().digest)})",
        f"generator: {h['generator']} ({_embedded(h['generator'])})",
        f"rendering constants: {h['render']}",
        f"picture: pixels with SHA-256 {h['image']}",
        f"proven with ezkl {_safe(h['ezkl'])} under setup {h['srs']}",
        f"v: {len(bundle.v)} integers, the largest of {max(map(abs, bundle.v)).bit_length()} bits",
        f"sizes: commitment {h['commitment_bytes']}, projection proof {h['projection_bytes']}, "
        f"v {h['v_bytes']}, Halo2 proof {h['proof_bytes']} bytes",
    ]


def _safe(value: str | int) -> str:
    """A text from the file, quoted if it could act on a terminal or pass for several lines."""
    text = str(value)
    return text if text.isascii() and text.isprintable() else ascii(text)


def _ours(digest: str, ours: str) -> str:
    return "this program's" if digest == ours else "not this program's"


def _embedded(digest: str) -> str:
    try:
        return "the embedded one" if digest == load_generator().digest else "not the embedded one"
    except HurefError:  # an installation without it can still tell the rest
        return "no embedded one to compare with"
