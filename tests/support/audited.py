"""An owner of demo-base, honest or not, for the tests of inference audits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from huref_zk.commitment.file import Commitment, serialise, side_by_side
from huref_zk.commitment.salts import salt_key
from huref_zk.errors import StepFailed
from huref_zk.invariants.prepare import Prepared
from huref_zk.invariants.quantise import Quantised
from huref_zk.proofs.inference import linear
from huref_zk.proofs.inference.claims import LayerClaims, geometry_of
from huref_zk.proofs.inference.file import FORMAT, Audit, choose_positions
from huref_zk.proofs.inference.linear import start_transcript
from huref_zk.proofs.inference.prove import balances, make_claims
from huref_zk.proofs.inference.run import Run
from huref_zk.proofs.inference.verify import Demand, check_audit
from huref_zk.srs.file import Srs

SECRET = bytes(range(32))
NONCE = bytes(range(64, 96))
PROMPT = "def main(argv):\n    return sum(x for x in argv)"
COUNT = 6
Change = Callable[[list[LayerClaims]], Sequence[LayerClaims]]


@dataclass(frozen=True)
class Owner:
    """A committed model and one run of it."""

    prepared: Prepared
    commitment: Commitment
    srs: Srs
    cache: Path
    run: Run

    @property
    def quantised(self) -> Quantised:
        return self.prepared.quantised

    @property
    def geometry(self):
        return geometry_of(self.commitment.descriptor)

    def claims(self, count: int, run: Run, quantised: Quantised):
        root = self.commitment.root
        positions = choose_positions(root, NONCE, run.ids, count)
        balance = balances(self.run, self.prepared.canonical, self.geometry)
        return make_claims(run, quantised, balance, self.geometry, positions)

    def audit(
        self,
        change: Change | None = None,
        *,
        run: Run | None = None,
        claimed: Quantised | None = None,
        proven: Quantised | None = None,
        count: int = COUNT,
        **header: Any,
    ) -> Audit:
        """An audit as a dishonest owner may make it: no checks, only the proof is made as it should
        be. claimed, proven: the weights that the claims and the responses come from, in place of
        the committed ones; the salts are the committed ones always."""
        run = run or self.run
        claims, scales = self.claims(count, run, claimed or self.quantised)
        if change is not None:
            claims = tuple(change(list(claims)))
        committed = serialise(self.commitment)
        fields = {
            "format": FORMAT,
            "nonce": NONCE.hex(),
            "prompt": PROMPT,
            "tokens": len(run.ids),
            "positions": count,
            "rms_norm_eps": repr(run.eps),
            "rope_theta": repr(run.theta),
            "scales": scales,
            "commitment_bytes": len(committed),
        } | header
        transcript = start_transcript(fields, self.commitment, run.ids, claims)
        key = salt_key(SECRET, side_by_side(self.quantised))
        with patch.object(linear, "salt_key", lambda *_: key):
            proof = linear.prove_linear(
                *(proven or self.quantised, SECRET, self.commitment, self.geometry, claims),
                *(transcript, self.srs),
            )
        return Audit(fields, committed, run.ids, claims, proof)

    def demand(self, **changes: Any) -> Demand:
        return replace(Demand(NONCE, PROMPT, self.run.ids, COUNT), **changes)

    def refusal(self, audit: Audit, demand: Demand | None = None) -> tuple[int | None, str]:
        """(step, message) with which the verifier refuses; (None, "") if it accepts."""
        try:
            check_audit(
                *(audit, self.commitment, self.commitment.root_hex),
                *(demand or self.demand(), self.cache, True),
            )
        except StepFailed as e:
            return e.step, str(e)
        return None, ""


def bumped(layer: int, field: str, by: float = 1, place: tuple[int, int] = (2, 3)) -> Change:
    """Adds ``by`` to one entry of one field of one layer."""

    def change(claims: list[LayerClaims]) -> list[LayerClaims]:
        values = getattr(claims[layer], field).copy()
        values[place] += np.array(by, dtype=values.dtype)
        claims[layer] = replace(claims[layer], **{field: values})
        return claims

    return change
