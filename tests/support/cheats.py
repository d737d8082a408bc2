"""Ways for a prover to deviate in one step of the projection proof, and what they break."""

from __future__ import annotations

from huref_zk.argument import projection_prover as prover
from huref_zk.argument import projection_verifier as verifier
from huref_zk.argument.projection_proof import absorb_claim, draw_rho, parse_projection
from huref_zk.argument.transcript import Transcript
from huref_zk.circuit.encoder import P
from huref_zk.commitment.file import parse_commitment
from huref_zk.commitment.kzg import blank
from huref_zk.commitment.salts import SALTS
from huref_zk.curve import bn254
from huref_zk.invariants.sketch import signs
from huref_zk.proofs.picture.file import Bundle
from huref_zk.proofs.picture.statement import statement_digest
from tests.support.tampering import OPENING

NAMES = ("L", "R")
FACTORS = ("U", "V")
EMBEDDING = [f"embedding equation (E) of side {name}" for name in NAMES]
FACTOR = [f"factor equation ({f}) of side {n}" for f, n in zip(FACTORS, NAMES, strict=True)]
ROW = 1  # which row of a side is cheated with


def row_points(chain, bundle: Bundle) -> list:
    """The row commitments that the Halo2 proof opens with."""
    constant = bn254.negate(blank(chain.srs, chain.keys.record.unusable))
    columns = [bundle.proof[i : i + 64] for i in range(0, OPENING, 64)]
    return [bn254.add(bn254.decode_uncompressed(column), constant) for column in columns]


def failing(chain, bundle: Bundle) -> list[str]:
    """Names of the projection equations that do not hold in ``bundle``."""
    commitment = parse_commitment(bundle.commitment)
    rows = row_points(chain, bundle)
    seed = bytes.fromhex(bundle.header["seed"])
    proof = parse_projection(bundle.projection, commitment)
    transcript = Transcript(statement_digest(bundle.header, bundle.v))
    absorb_claim(transcript, commitment, seed, P, rows)
    rhos = verifier.draw_rho(transcript, [(s.mask, s.image) for s in proof.sides], P)
    equations = verifier._equations(commitment, seed, P, proof, rows, rhos, chain.srs)
    return [name for name, terms in equations if not verifier._is_zero(terms)]


# --- one step of the prover at a time ------------------------------------------------------------
# Each gives what replaces a function of project/prover.py, for a cheat on the given side.


def nth_call(function, n: int, change):
    """``function``, with ``change(result, *arguments)`` in place of its n-th result (from 0)."""
    count = iter(range(1 << 30))

    def wrapped(*args):
        result = function(*args)
        return change(result, *args) if next(count) == n else result

    return wrapped


def image_changed(side, change):
    """_image with ``change(<A_i>, *arguments)`` for one row of the side."""
    return {"_image": nth_call(prover._image, P * side + ROW, change)}


def other_row(chain, side):
    """<A_i> commits to a row with one entry changed."""
    point = chain.srs.lagrange(3, 1)[0]
    return image_changed(side, lambda image, *_: bn254.add(image, point))


def other_salt(chain, side):
    """<A_i> commits to the right row with one of its blinds changed."""
    place = chain.commitment.length + SALTS - 1
    point = chain.srs.lagrange(place, 1)[0]
    return image_changed(side, lambda image, *_: bn254.add(image, point))


def no_blinds(chain, side):
    """<A_i> without any blinds."""
    return image_changed(side, lambda _, row, points, *__: bn254.msm(points, row[: len(points)]))


def blinds_of_the_other_side(chain, side):
    """<A_i> with the blinds of the other side."""
    image = prover._image
    return image_changed(side, lambda _, row, points, tail, own: image(row, points, tail, 1 - own))


def rows_exchanged(chain, side):
    """Rows 0 and 1 of a side in the other order."""

    def absorb(transcript, commitment, seed, p, points):
        first, second = P * side, P * side + 1
        points[first], points[second] = points[second], points[first]
        absorb_claim(transcript, commitment, seed, p, points)

    return {"absorb_claim": absorb}


def wrong_mask_image(chain, side):
    """T belongs to another mask than R."""
    return {"draw_rho": shifted({side: (0, 1)})}


def other_embeddings(chain, side):
    """X_i is not P E."""

    def change(rows, *_):
        rows[ROW][2] += 1
        return rows

    return {"_project": nth_call(prover._project, side, change)}


def other_own_salt(chain, side):
    """X_i is P E but for the salt that no other equation sees."""

    def change(rows, *_):
        rows[ROW][chain.commitment.hidden] += 1
        return rows

    return {"_project": nth_call(prover._project, side, change)}


def other_signs(chain, side):
    """X is projected with the other side's P."""
    wrong = NAMES[1 - side]

    def sketch(seed, name, p, count):
        return signs(seed, wrong if name == NAMES[side] else name, p, count)

    return {"sketch_signs": sketch}


def wrong_mask_commitment(chain, side):
    """R belongs to another mask than T."""
    return {"draw_rho": shifted({side: (1, 0)})}


def other_response_salt(chain, side):
    """y is off in the salt's place."""
    place = chain.commitment.hidden
    return {
        "_respond": nth_call(
            prover._respond,
            side,
            lambda y, *_: (*y[:place], (y[place] + 1) % bn254.R, *y[place + 1 :]),
        )
    }


def shifted(by: dict[int, tuple[int, int]]):
    """draw_rho with multiples of the generator added to (R, T) of the given sides before it."""

    def draw(transcript, firsts, p):
        for side, multiples in by.items():
            firsts[side] = tuple(
                bn254.add(point, bn254.multiply(bn254.GENERATOR, n))
                for point, n in zip(firsts[side], multiples, strict=True)
            )
        return draw_rho(transcript, firsts, p)

    return draw


BREAKS_FACTOR = [
    other_row,
    other_salt,
    no_blinds,
    blinds_of_the_other_side,
    rows_exchanged,
    wrong_mask_image,
]
BREAKS_EMBEDDING = [
    other_embeddings,
    other_own_salt,
    other_signs,
    wrong_mask_commitment,
    other_response_salt,
]
