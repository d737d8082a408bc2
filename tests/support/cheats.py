"""Ways for a prover to deviate in one step of the projection proof, and what they break."""

from __future__ import annotations

from huref_zk.argument import projection
from huref_zk.argument.batching import first_false
from huref_zk.argument.transcript import Transcript
from huref_zk.circuit import halo2
from huref_zk.commitment.descriptor import core_columns
from huref_zk.commitment.salts import SALTS
from huref_zk.curve import bn254
from huref_zk.invariants.sketch import LEFT, signs
from huref_zk.proofs.picture.file import Bundle, committed_in
from huref_zk.proofs.picture.verify import ROWS
from tests.support.tampering import committed_rows

ROW = 1  # which row is cheated with


def row_points(chain, bundle: Bundle) -> list[bn254.Point]:
    """The row commitments that the Halo2 proof opens with."""
    columns = halo2.committed_points(bundle.proof, ROWS)
    return halo2.without_blank(columns, halo2.blank_point(chain.keys, chain.srs))


def failing(chain, bundle: Bundle) -> list[str]:
    """Names of the projection equations that do not hold in ``bundle``."""
    commitment = committed_in(bundle)
    rows = row_points(chain, bundle)
    proof = projection.parse_projection(bundle.projection, commitment.descriptor)
    transcript = Transcript(bundle.claim.digest(bundle.v))
    projection.absorb_claim(transcript, commitment, bundle.seed, rows)
    rho = projection._draw_rho(transcript, [(part.mask, part.image) for part in proof])
    delta = [3 + i for i in range(ROWS - LEFT)]
    found = projection._equations(commitment, bundle.seed, proof, rows, rho, delta, chain.srs)
    return [equation.name for equation in found if first_false([equation], [1]) is not None]


# --- one step of the prover at a time ------------------------------------------------------------
# Each gives what `forge` takes: other row commitments, or functions that replace the prover's own.


def points_changed(chain, change) -> dict:
    """The honest row commitments, ``change``d in place."""
    points = committed_rows(chain.owner, chain.bundle.seed, chain.srs)
    change(points)
    return {"points": points}


def added(row: int, place: int):
    """One entry of one row larger by one."""

    def cheat(chain) -> dict:
        point = chain.srs.lagrange(place, 1)[0]

        def change(points) -> None:
            points[row] = bn254.add(points[row], point)

        return points_changed(chain, change)

    return cheat


def other_row(chain) -> dict:
    """<Y_i> commits to a row with one entry changed."""
    return added(ROW, 3)(chain)


def other_salt(chain) -> dict:
    """<Y_i> commits to the right row with one of its salts changed."""
    return added(ROW, core_columns(chain.commitment.hidden) + SALTS - 1)(chain)


def no_blinds(chain) -> dict:
    """<Y_i> without any blinds."""

    def change(points) -> None:
        owner = chain.owner
        key = owner.witness.key(owner.secret)
        x = projection._project(owner, key, chain.bundle.seed, "L")[ROW]
        cores = owner.commitment.points["C"]
        points[ROW] = bn254.msm(list(cores), x[: len(cores)])

    return points_changed(chain, change)


def rows_exchanged(chain) -> dict:
    """Rows 0 and 1 of the left side in the other order."""

    def change(points) -> None:
        points[0], points[1] = points[1], points[0]

    return points_changed(chain, change)


def groups_exchanged(chain) -> dict:
    """The two groups of left rows in the other order."""

    def change(points) -> None:
        half = LEFT // 2
        points[:LEFT] = points[half:LEFT] + points[:half]

    return points_changed(chain, change)


def wrong_mask_image(chain) -> dict:
    """T belongs to another mask than R."""
    return {"_draw_rho": shifted(0, 1)}


def other_right_row(chain) -> dict:
    """<B_i> commits to a row with one entry changed."""
    return added(LEFT + ROW, 3)(chain)


def other_right_blind(chain) -> dict:
    """<B_i> with one of the blinds changed, which the circuit never reads."""
    return added(LEFT + ROW, chain.commitment.hidden + 2 * SALTS - 1)(chain)


def right_rows_exchanged(chain) -> dict:
    """Rows 0 and 1 of the right side in the other order."""

    def change(points) -> None:
        points[LEFT], points[LEFT + 1] = points[LEFT + 1], points[LEFT]

    return points_changed(chain, change)


def _projecting(change):
    """_project with ``change(row)`` for one row of the left side."""

    def project(owner, key, seed, side):
        rows = _HONEST(owner, key, seed, side)
        if side == "L":
            change(rows[ROW])
        return rows

    return {"_project": project}


_HONEST = projection._project


def other_embeddings(chain) -> dict:
    """X_i is not P E."""

    def change(row) -> None:
        row[2] += 1

    return _projecting(change)


def other_own_salt(chain) -> dict:
    """X_i is P E but for a salt that no other equation sees."""

    def change(row) -> None:
        row[chain.commitment.hidden] += 1

    return _projecting(change)


def other_signs(chain) -> dict:
    """X is projected with another seed's signs."""

    def other(seed, side, p, count):
        return signs(bytes(32) if side == "L" else seed, side, p, count)

    return {"signs": other}


def wrong_mask_commitment(chain) -> dict:
    """R belongs to another mask than T."""
    return {"_draw_rho": shifted(1, 0)}


def shifted(of_mask: int, of_image: int, numbers: tuple[int, ...] = (0,)):
    """_draw_rho with multiples of the generator added to R and T of the sets numbered so."""
    honest = projection._draw_rho

    def draw(transcript, firsts):
        for number in numbers:
            firsts[number] = tuple(
                bn254.add(point, bn254.multiply(bn254.GENERATOR, n))
                for point, n in zip(firsts[number], (of_mask, of_image), strict=True)
            )
        return honest(transcript, firsts)

    return draw


BREAKS = {
    "core": [other_row, other_salt, no_blinds, rows_exchanged, groups_exchanged, wrong_mask_image],
    "right": [other_right_row, other_right_blind, right_rows_exchanged],
    "embedding": [other_embeddings, other_own_salt, other_signs, wrong_mask_commitment],
}
