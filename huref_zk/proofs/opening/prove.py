"""The owner's side: open rows."""

from __future__ import annotations

import numpy as np

from huref_zk.commitment import tree as merkle
from huref_zk.commitment.file import (
    Commitment,
    Quantised,
    check_descriptor,
    leaf_hashes,
    side_by_side,
)
from huref_zk.commitment.salts import row_salts, salt_key
from huref_zk.errors import InputError
from huref_zk.proofs.opening.file import OpenedLeaf, OpenedRow, Opening, leaves_of
from huref_zk.proofs.opening.rows import Row, check_exist, checked_count
from huref_zk.proofs.opening.verify import wrong_rows
from huref_zk.srs.file import Srs


def open_rows(
    quantised: Quantised, secret: bytes, commitment: Commitment, rows: list[Row], srs: Srs
) -> Opening:
    """Reveal ``rows``: their integers, salts and Merkle paths.

    InputError for rows that do not exist, and unless the rows under this secret are those of the
    commitment: a false opening is never made.
    """
    counts = check_descriptor(commitment.descriptor)
    places = checked_count(sorted(set(rows)))
    check_exist(places, counts)
    matrices = side_by_side(quantised)
    groups = (commitment.E_points, commitment.U_points, commitment.V_points)
    d, length = commitment.hidden, commitment.length
    for matrix, count, width in zip(matrices, counts, (d, length, length), strict=True):
        if matrix.shape != (count, width):
            raise InputError("the commitment is not one of this model: its matrices differ in size")
    if srs.sha256 != commitment.descriptor["srs"]["sha256"]:
        raise InputError("the commitment was made under another SRS than the one given")
    key = salt_key(secret, matrices)
    salts = [row_salts(key, index, len(matrix)) for index, matrix in enumerate(matrices)]
    opened = tuple(
        OpenedRow((m, i), matrices[m][i].astype(np.int16), tuple(salts[m][i])) for m, i in places
    )
    leaves, _ = leaves_of(commitment.descriptor, places)
    paths = merkle.paths(leaf_hashes(commitment), [number for number, *_ in leaves])
    opening = Opening(
        commitment.descriptor,
        opened,
        tuple(
            OpenedLeaf(
                number,
                matrix,
                first,
                tuple(groups[matrix][first : first + size]),
                tuple(path),
            )
            for (number, matrix, first, size), path in zip(leaves, paths, strict=True)
        ),
    )
    if wrong_rows(opening, srs):
        raise InputError(
            "the commitment is not one of this model under this secret; "
            "use the files that 'commit' wrote for it"
        )
    return opening
