"""What a file claims, in words, for `inspect`. Judges nothing.

Texts from a file are quoted where they could act on a terminal, and cut where they are long.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from huref_zk.cli.verdicts import CHOICES, RECIPES, ranges
from huref_zk.errors import HurefError

if TYPE_CHECKING:
    from huref_zk.commitment.descriptor import Descriptor
    from huref_zk.commitment.file import Commitment
    from huref_zk.comparison.saved import Saved
    from huref_zk.proofs.inference.file import Audit
    from huref_zk.proofs.opening.file import Opening
    from huref_zk.proofs.picture.file import Bundle
    from huref_zk.proofs.similarity.file import PairBundle

_LONGEST = 200  # characters of a text from a file
_SETUPS = {
    "test": "the TEST setup, under which anybody can forge proofs",
    "ceremony": "said to be a ceremony's",
    "named": "one that its user has to name",
}


def commitment_in_words(commitment: Commitment) -> list[str]:
    """One line a topic."""
    d = commitment.descriptor
    rows = ", ".join(f"{m.rows} of {m.name}" for m in d.matrices)
    return [
        f"root: {commitment.root_hex}",
        f"committed rows: {rows}; domain of 2^{d.srs.k}",
        *descriptor_in_words(d),
    ]


def descriptor_in_words(d: Descriptor) -> list[str]:
    """As commitment_in_words, of a commitment's descriptor alone."""
    scales = ", ".join(f"{safe(k)} {v}" for k, v in sorted(d.scales.items()))
    lines = [
        f"model: {facts(d.model)}",
        f"recipe: {d.recipe}, {RECIPES[d.recipe]}; layers {ranges(d.layers)}",
        f"tokens: {d.tokens.count}, {CHOICES[d.tokens.choice]}; SHA-256 of their ids "
        f"{d.tokens.digest}",
        f"scales of the integers: {scales}",
        f"salted digest of the checkpoint: {d.checkpoint}",
        f"setup: {_SETUPS[d.srs.kind]}, {d.srs.sha256}, 2^{d.srs.k} rows",
        f"committed with ezkl {safe(d.ezkl)}",
    ]
    if d.audited or d.output:
        parts = [f"layers {ranges([part.layer for part in d.audited])}"] if d.audited else []
        parts += ["the output rows"] if d.output else []
        lines.append(f"committed besides, for audits: {' and '.join(parts)}")
    if d.public:
        lines.append("a public model: no secret, nothing is hidden")
    return lines


def bundle_in_words(bundle: Bundle) -> list[str]:
    """As commitment_in_words, of what the bundle adds to its commitment."""
    from huref_zk.invariants.encoder import load_encoder

    claim = bundle.claim
    return [
        f"the bundle claims root {claim.root}",
        seed_in_words(claim.seed),
        f"circuit: {claim.circuit}",
        f"encoder: {claim.encoder} ({_ours(claim.encoder, load_encoder().digest)})",
        f"generator: {claim.generator} ({_embedded(claim.generator)})",
        f"rendering constants: {claim.render}",
        f"picture: pixels with SHA-256 {claim.image}",
        f"proven with ezkl {safe(claim.ezkl)}",
        f"v: {len(bundle.v)} integers, the largest of {max(map(abs, bundle.v)).bit_length()} bits",
        f"sizes: commitment {len(bundle.commitment)}, projection proof {len(bundle.projection)}, "
        f"Halo2 proof {len(bundle.proof)} bytes",
    ]


def pair_in_words(bundle: PairBundle) -> list[str]:
    """What a `.hzs` file claims of the pair; its commitments are shown apart."""
    claim = bundle.claim
    return [
        f"it claims of the similarity: {claim.bounds.words}",
        seed_in_words(claim.seed),
        f"circuit: {claim.circuit}",
        f"proven with ezkl {safe(claim.ezkl)}",
    ]


def opening_in_words(opening: Opening, root: int) -> list[str]:
    """What a `.hzo` file claims; root: where its first row leads to."""
    from huref_zk.proofs.opening.rows import listed

    largest = max(int(abs(row.values).max()) for row in opening.rows)
    return [
        f"opened: {len(opening.rows)} rows: {listed(opening.places)}",
        f"root: the first row's path leads to {root:064x}",
        f"the largest integer in these rows: {largest}",
        *descriptor_in_words(opening.descriptor),
    ]


def audit_in_words(audit: Audit) -> list[str]:
    """What a `.hza` file claims; its commitment is shown apart."""
    head = audit.head
    shown = ", ".join(map(str, audit.ids[:16])) + (", ..." if len(audit.ids) > 16 else "")
    scales = "; ".join(f"{k} {', '.join(map(str, v))}" for k, v in sorted(head.scales.items()))
    output = f"from the rows of {head.output}" if head.output else "not claimed"
    return [
        f"nonce: {head.nonce}",
        f"prompt: {len(audit.ids)} tokens ({shown}), of which {head.positions} positions are "
        "audited",
        f"logits: {output}",
        f"not committed: rms_norm_eps {head.rms_norm_eps}, rope_theta {head.rope_theta or 'none'}",
        f"exponents of the activations: {scales}",
        f"linear relations: {len(audit.proof)}",
    ]


def fingerprint_in_words(saved: Saved) -> list[str]:
    """What a `.hzf` file claims."""
    texts = "unknown" if saved.tokens.texts is None else "known"
    v = "none" if saved.v is None else f"{len(saved.v)} integers"
    return [
        f"name: {safe(saved.name)}",
        f"model: {facts(saved.facts)}",
        f"survey: {saved.layers} layers, in {len(saved.survey.frames)} groups of tokens",
        seed_in_words(saved.seed.hex()),
        f"tokens: {len(saved.tokens.ids)}, SHA-256 of their ids {saved.token_digest}; "
        f"their texts are {texts}",
        f"v: {v}",
        f"it compares with fingerprints of basis {saved.basis}",
    ]


def facts(model: Mapping[str, int | str]) -> str:
    """A model's facts on one line."""
    return ", ".join(f"{safe(k)} {safe(v)}" for k, v in sorted(model.items()))


def seed_in_words(seed: str) -> str:
    """A seed, and whether it is the public one."""
    from huref_zk.invariants.sketch import PUBLIC_SEED

    public = "the public one" if seed == PUBLIC_SEED.hex() else "not the public one"
    return f"seed: {seed} ({public})"


def safe(value: str | int) -> str:
    """A text from the file, quoted if it could act on a terminal or pass for several lines, and cut
    if it is long."""
    text = str(value)
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}... ({len(text)} characters)"
    return text if text.isascii() and text.isprintable() else ascii(text)


def _ours(digest: str, ours: str) -> str:
    return "this program's" if digest == ours else "not this program's"


def _embedded(digest: str) -> str:
    from huref_zk.render import load_generator

    try:
        return "the embedded one" if digest == load_generator().digest else "not the embedded one"
    except HurefError:  # an installation without it can still tell the rest
        return "no embedded one to compare with"
