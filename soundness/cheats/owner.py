"""What an owner knows while making an honest proof, for cheats that start from one."""

from __future__ import annotations

from unittest.mock import patch

from huref_zk.argument import projection_prover as prover
from tests.support.tampering import forge


def masks_and_rows(chain) -> tuple[list[list[int]], list[list[list[int]]]]:
    """(m of either side, X of either side with all its salts) of the chain's honest proof."""
    masks: list[list[int]] = []
    rows: list[list[list[int]]] = []
    mask, project = prover._mask, prover._project

    def noted(function, into):
        def call(*args):
            into.append(function(*args))
            return into[-1]

        return call

    with patch.object(prover, "_mask", noted(mask, masks)):
        forge(chain, _project=noted(project, rows))
    return [list(m) for m in masks], rows
