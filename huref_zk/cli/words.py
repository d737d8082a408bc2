"""What a file claims, in words, for `inspect`. Judges nothing.

Texts from a file are quoted where they could act on a terminal, and cut where they are long.
"""

from __future__ import annotations

from typing import Any

from huref_zk.circuit.encoder import load_encoder
from huref_zk.commitment.file import Commitment
from huref_zk.comparison.saved import Saved
from huref_zk.errors import HurefError
from huref_zk.invariants.sketch import PUBLIC_SEED
from huref_zk.proofs.inference.file import Audit
from huref_zk.proofs.opening.file import Opening
from huref_zk.proofs.opening.verify import listed
from huref_zk.proofs.picture.file import Bundle
from huref_zk.proofs.similarity.file import PairBundle
from huref_zk.render import load_generator

_LONGEST = 200  # characters of a text from a file


def commitment_in_words(commitment: Commitment) -> list[str]:
    """One line a topic."""
    salts, k = commitment.descriptor["salts"], commitment.descriptor["domain_k"]
    return [
        f"root: {commitment.root_hex}",
        f"committed rows: {len(commitment.E_points)} of E, {commitment.hidden} each of U and V; "
        f"{salts} salts a row, domain of 2^{k}",
        *descriptor_in_words(commitment.descriptor),
    ]


def descriptor_in_words(d: dict[str, Any]) -> list[str]:
    """As commitment_in_words, of a commitment's descriptor alone."""
    scales = ", ".join(f"{_safe(k)} 2^-{v}" for k, v in sorted(d["scales"].items()))
    layers = ", ".join(map(str, d["layers"]))
    setup = {
        "test": "the TEST setup, under which anybody can forge proofs",
        "ceremony": "a ceremony's setup",
    }.get(d["srs"]["kind"], "a setup that nobody knows")
    a, b, f = d["widths"]
    return [
        f"model: {_facts(d['model'])}",
        f"layers proven: {layers}; term widths {a} (QK), {b} (VO), {f} (FFN)",
        f"tokens: {d['tokens']['count']}, SHA-256 of their ids {d['tokens']['digest']}",
        f"scales of the integers: {scales}",
        f"setup: {setup}, {d['srs']['sha256']}",
        f"committed with ezkl {_safe(d['ezkl'])}",
    ]


def bundle_in_words(bundle: Bundle) -> list[str]:
    """As commitment_in_words, of what the bundle adds to its commitment."""
    h = bundle.header
    return [
        f"the bundle claims root {h['root']}",
        _seed(h["seed"]),
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


def pair_in_words(bundle: PairBundle) -> list[str]:
    """What a `.hzs` file claims of the pair; its commitments are shown apart."""
    h = bundle.header
    return [
        f"it claims {bundle.bounds.words}",
        _seed(h["seed"]),
        f"circuit: {h['circuit']}",
        f"proven with ezkl {_safe(h['ezkl'])} under setup {h['srs']}",
    ]


def fingerprint_in_words(saved: Saved) -> list[str]:
    """What a `.hzf` file claims."""
    texts = "unknown" if saved.tokens.texts is None else "known"
    v = "none" if saved.v is None else f"{len(saved.v)} integers"
    return [
        f"name: {_safe(saved.name)}",
        f"model: {_facts(saved.facts)}",
        f"sketches: {len(saved.maps)} layers, {saved.maps.shape[-1]} rows each",
        _seed(saved.seed.hex()),
        f"tokens: {len(saved.tokens.ids)}, SHA-256 of their ids {saved.token_digest}; "
        f"their texts are {texts}",
        f"v: {v}",
        f"it compares with fingerprints of basis {saved.basis}",
    ]


def opening_in_words(opening: Opening, root: int) -> list[str]:
    """What a `.hzo` file claims; root: where its first row leads to."""
    largest = max(int(abs(row.values).max()) for row in opening.rows)
    return [
        f"opened: {len(opening.rows)} rows: {listed(opening.places)}",
        f"root: the first row's path leads to {root:064x}",
        f"the largest integer in these rows: {largest}",
        *descriptor_in_words(opening.descriptor),
    ]


def audit_in_words(audit: Audit) -> list[str]:
    """What a `.hza` file claims; its commitment is shown apart."""
    h = audit.header
    exponents = {name: ", ".join(map(str, h["scales"][name])) for name in ("a", "mid")}
    return [
        f"nonce: {h['nonce']}",
        f"prompt: {_safe(h['prompt'])}" if h["prompt"] else "prompt: only token ids are given",
        f"tokens of the prompt: {h['tokens']}, of which {h['positions']} positions are audited",
        f"not committed: rms_norm_eps {h['rms_norm_eps']}, rope_theta {h['rope_theta'] or 'none'}",
        f"exponents of a {exponents['a']}, of mid {exponents['mid']}",
        f"sizes: commitment {h['commitment_bytes']}, proof {len(audit.proof)} bytes",
    ]


def _facts(model: dict[str, Any]) -> str:
    return ", ".join(f"{_safe(k)} {_safe(v)}" for k, v in sorted(model.items()))


def _seed(seed: str) -> str:
    public = "the public one" if seed == PUBLIC_SEED.hex() else "not the public one"
    return f"seed: {seed} ({public})"


def _safe(value: str | int) -> str:
    """A text from the file, quoted if it could act on a terminal or pass for several lines, and cut
    if it is long."""
    text = str(value)
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}... ({len(text)} characters)"
    return text if text.isascii() and text.isprintable() else ascii(text)


def _ours(digest: str, ours: str) -> str:
    return "this program's" if digest == ours else "not this program's"


def _embedded(digest: str) -> str:
    try:
        return "the embedded one" if digest == load_generator().digest else "not the embedded one"
    except HurefError:  # an installation without it can still tell the rest
        return "no embedded one to compare with"
