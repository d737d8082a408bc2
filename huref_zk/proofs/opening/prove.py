"""The owner's side: open rows."""

from __future__ import annotations

from collections.abc import Iterable

from huref_zk.commitment import tree
from huref_zk.commitment.commit import NOT_THIS_MODEL, Owner
from huref_zk.commitment.file import leaf_hashes
from huref_zk.errors import InputError
from huref_zk.proofs.opening.file import OpenedLeaf, OpenedRow, Opening, leaves_of
from huref_zk.proofs.opening.rows import Row, checked
from huref_zk.proofs.opening.verify import wrong_rows
from huref_zk.srs.file import Srs


def open_rows(owner: Owner, rows: Iterable[Row], srs: Srs) -> Opening:
    """Reveal ``rows``: their integers, salts and paths in the tree.

    InputError for rows that do not exist, and unless the rows under this secret are those of the
    commitment: a false opening is never made.
    """
    descriptor, witness = owner.descriptor, owner.witness
    places = checked(rows, descriptor)
    if (srs.k, srs.sha256) != (descriptor.srs.k, descriptor.srs.sha256):
        raise InputError("the commitment is under another SRS than the one given")
    key = witness.key(owner.secret)
    opened = tuple(
        OpenedRow(
            (matrix, row),
            witness.values(matrix, row, row + 1)[0],
            tuple(witness.salts(key, matrix, range(row, row + 1))[0]),
        )
        for matrix, row in places
    )
    leaves, _ = leaves_of(descriptor, places)
    paths = tree.paths(leaf_hashes(owner.commitment), [leaf.number for leaf in leaves])
    opening = Opening(
        descriptor,
        opened,
        tuple(
            OpenedLeaf(
                leaf,
                owner.commitment.points[leaf.matrix][leaf.first : leaf.first + leaf.rows],
                tuple(path),
            )
            for leaf, path in zip(leaves, paths, strict=True)
        ),
    )
    if wrong_rows(opening, srs):
        raise InputError(NOT_THIS_MODEL)
    return opening
