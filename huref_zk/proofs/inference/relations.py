"""The linear relations between an audit's claims and the committed matrices."""

from __future__ import annotations

from collections.abc import Sequence

from huref_zk.argument.linear import Relation, read_by, standing, written_by
from huref_zk.argument.transcript import Transcript
from huref_zk.commitment.descriptor import Descriptor
from huref_zk.commitment.file import Commitment
from huref_zk.proofs.inference.claims import Claims, geometry_of, serialise_claims
from huref_zk.proofs.inference.file import Head, Places, ids_bytes


def start_transcript(
    head: Head,
    commitment: Commitment,
    ids: Sequence[int],
    tokens: Sequence[int],
    claims: Claims,
) -> Transcript:
    """Everything that is claimed, hashed."""
    transcript = Transcript(b"huref-zk inference audit 2")
    transcript.absorb("head", head.to_bytes())
    transcript.absorb_commitment(commitment)
    transcript.absorb("ids", ids_bytes(ids))
    transcript.absorb("tokens", ids_bytes(tokens))
    transcript.absorb("claims", serialise_claims(claims))
    return transcript


def relations(
    descriptor: Descriptor, claims: Claims, output: str, places: Places, transcript: Transcript
) -> list[Relation]:
    """The relations that the claims must satisfy, with numbers drawn from the transcript, which
    must hold all of them. In the order of file.relation_matrices."""
    geometry = geometry_of(descriptor)
    found = []
    for number, layer in zip(geometry.layers, claims.layers, strict=True):
        k, v = geometry.repeated(layer.k), geometry.repeated(layer.v)
        half = geometry.attention
        for name, matrix, x, outputs in (
            ("q and v", "qv", layer.x_att, [(0, layer.q), (half, v)]),
            ("k", "ko", layer.x_att, [(0, k)]),
            ("up", "up", layer.x_ffn, [(0, layer.up)]),
            ("gate", "gate", layer.x_ffn, [(0, layer.gate)]),
        ):
            title = f"{name} of layer {number}"
            found.append(read_by(descriptor, title, f"{matrix}{number}", x, outputs, transcript))
        for name, matrix, start, a, y in (
            ("attention output", "ko", half, layer.a, layer.att),
            ("FFN output", "down", 0, layer.mid, layer.ffn),
        ):
            title = f"{name} of layer {number}"
            found.append(
                written_by(descriptor, title, f"{matrix}{number}", start, a, y, transcript)
            )
    if claims.output is not None:
        z, s = claims.output.z, claims.output.s
        found.append(written_by(descriptor, "logits", output, 0, z, s, transcript))
    if places.named:
        rows = [row for _, row in places.named]
        found.append(standing(descriptor, "embeddings", "E", rows, claims.rows, transcript))
    return found
