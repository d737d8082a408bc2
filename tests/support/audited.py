"""Owners of models with audited layers, honest or not, for the tests of inference audits."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from huref_zk.argument.linear import prove_linear
from huref_zk.commitment import commit as committing
from huref_zk.commitment.audited import audited_matrices
from huref_zk.commitment.commit import checkpoint_salt
from huref_zk.commitment.file import serialise
from huref_zk.commitment.witness import Witness, make_witness
from huref_zk.errors import StepFailed
from huref_zk.models.families import family_for
from huref_zk.models.load import open_model
from huref_zk.proofs.inference.claims import Claims, Geometry, LayerClaims, geometry_of
from huref_zk.proofs.inference.file import Audit, Head, Places, places_of, serialise_audit
from huref_zk.proofs.inference.prove import head_of, make_claims, output_of
from huref_zk.proofs.inference.relations import relations, start_transcript
from huref_zk.proofs.inference.run import Run
from huref_zk.proofs.inference.verify import Demand, verify_bytes
from huref_zk.proofs.kernel import Report, Setup
from huref_zk.proofs.prepare import Prepared, facts_of, prepare
from huref_zk.srs.file import Srs

SECRET = bytes(range(32))
NONCE = bytes(range(64, 96))
PROMPT = "def main(argv):\n    return sum(x for x in argv)"
COUNT = 6
Change = Callable[[Claims], Claims]
Matrices = Mapping[str, np.ndarray]


def witness_of(
    ref: str | Path,
    srs: Srs,
    layers: tuple[int, ...],
    output: bool,
    edit: Callable[[dict[str, np.ndarray]], None] | None = None,
    **options: Any,
) -> tuple[Witness, Prepared]:
    """As `commit` makes it, of 64 tokens; edit: changes the integers before they are committed."""
    prepared = prepare(str(ref), count=64, **options)
    model = open_model(str(ref))
    more, audited, scales = audited_matrices(
        model, family_for(model), layers, output, prepared.cores.token_ids
    )
    matrices = {"E": prepared.quantised.E.copy(), **more}
    if edit is not None:
        edit(matrices)
    facts = facts_of(prepared)
    facts["scales"] |= scales
    E, salt = matrices.pop("E"), checkpoint_salt(SECRET)
    cores = prepared.quantised.C
    return make_witness(facts, E, cores, srs, bytes(32), salt, matrices, audited), prepared


def commit_to(witness: Witness, srs: Srs) -> committing.Owner:
    return committing.Owner(committing.commit(witness, SECRET, srs, 1), witness, SECRET)


@dataclass(frozen=True)
class Owner:
    """A committed model and one run of it."""

    held: committing.Owner
    tokens: tuple[int, ...]
    srs: Srs
    cache: Path
    run: Run

    @property
    def matrices(self) -> Matrices:
        return self.held.witness.matrices

    @property
    def geometry(self) -> Geometry:
        return geometry_of(self.held.descriptor)

    @property
    def setup(self) -> Setup:
        return Setup(self.cache, allow_test=True)

    def head(self, run: Run | None = None, count: int = COUNT, **changes: Any) -> Head:
        output = output_of(self.held.descriptor, self.geometry, self.run)
        head = head_of(run or self.run, self.geometry, NONCE, count, output)
        return replace(head, **changes)

    def places(self, head: Head, run: Run | None = None) -> Places:
        root, ids = self.held.commitment.root, (run or self.run).ids
        return places_of(root, self.geometry, head, ids, self.tokens)

    def audit(
        self,
        change: Change | None = None,
        *,
        run: Run | None = None,
        claimed: Matrices | None = None,
        proven: Matrices | None = None,
        count: int = COUNT,
        **header: Any,
    ) -> Audit:
        """An audit as a dishonest owner may make it: no checks, only the proof is made as it should
        be. claimed, proven: the weights that the claims and the responses come from, in place of
        the committed ones; the salts are the committed ones always."""
        run, descriptor = run or self.run, self.held.descriptor
        head = self.head(run, count, **header)
        places = self.places(head, run)
        claims = make_claims(descriptor, claimed or self.matrices, run, head, places, self.tokens)
        if change is not None:
            claims = change(claims)
        transcript = start_transcript(head, self.held.commitment, run.ids, self.tokens, claims)
        found = relations(descriptor, claims, head.output, places, transcript)
        key = self.held.witness.key(SECRET)
        answering = replace(
            self.held, witness=replace(self.held.witness, matrices=proven or self.matrices)
        )
        with patch.object(Witness, "key", lambda *_: key):
            proof = prove_linear(answering, found, transcript, self.srs)
        return Audit(head, serialise(self.held.commitment), run.ids, self.tokens, claims, proof)

    def demand(self, **changes: Any) -> Demand:
        return replace(Demand(NONCE, self.run.ids, COUNT), **changes)

    def report(self, audit: Audit | bytes, demand: Demand | None = None) -> Report:
        data = audit if isinstance(audit, bytes) else serialise_audit(audit)
        root = self.held.commitment.root_hex
        return verify_bytes(data, root, self.setup, demand or self.demand())

    def refusal(self, audit: Audit | bytes, demand: Demand | None = None) -> tuple[str, str]:
        """(step, message) with which the verifier refuses; ("", "") if it accepts."""
        try:
            self.report(audit, demand)
        except StepFailed as e:
            return e.name, str(e)
        return "", ""


def with_layer(claims: Claims, index: int, **changes: Any) -> Claims:
    """The claims with fields of one layer changed."""
    layers = list(claims.layers)
    layers[index] = replace(layers[index], **changes)
    return replace(claims, layers=tuple(layers))


def bumped(layer: int, field: str, by: float = 1, place: tuple[int, int] = (2, 3)) -> Change:
    """Adds ``by`` to one entry of one field of one layer."""

    def change(claims: Claims) -> Claims:
        values = _added(getattr(claims.layers[layer], field), by, place)
        return with_layer(claims, layer, **{field: values})

    return change


def bumped_output(field: str, by: float = 1, place: tuple[int, int] = (2, 3)) -> Change:
    """Adds ``by`` to one entry of one field of the output."""

    def change(claims: Claims) -> Claims:
        assert claims.output is not None
        values = _added(getattr(claims.output, field), by, place)
        return replace(claims, output=replace(claims.output, **{field: values}))

    return change


def _added(values: np.ndarray, by: float, place: tuple[int, int]) -> np.ndarray:
    changed = values.copy()
    changed[place] += np.array(by, dtype=values.dtype)
    return changed


def layer_of(claims: Claims, index: int) -> LayerClaims:
    return claims.layers[index]


def write_tied_model(folder: Path, seed: int = 0, ffn: int = 24) -> Path:
    """A random LLaMA of transformers' own making: d = 16, two layers, embeddings tied, 160 tokens
    without a tokenizer, gains that are not one; ffn: its feed-forward width."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=160,
            hidden_size=16,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=4,
            intermediate_size=ffn,
            num_hidden_layers=2,
            max_position_embeddings=64,
            initializer_range=0.5,
            tie_word_embeddings=True,
        )
        model = LlamaForCausalLM(config).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "norm" in name:
                    parameter.uniform_(0.5, 1.5)
        model.save_pretrained(folder)
    config_file = folder / "config.json"
    config_file.write_text(json.dumps(json.loads(config_file.read_text())))
    return folder


def served_by(folder: str | Path, ids: tuple[int, ...]) -> dict[int, dict[int, float]]:
    """Log-probabilities of every token at every position, as a service of the model would say."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        said = torch.log_softmax(model(torch.tensor([list(ids)])).logits[0], dim=-1)
    return {p: dict(enumerate(row)) for p, row in enumerate(said.tolist())}
