import numpy as np

from huref_zk.invariants.quantise import Quantised

SECRET = bytes(range(32))
K, D, WIDTHS = 64, 6, (2, 3, 4)


def make_model(seed=1) -> Quantised:
    """A quantised model of K tokens, hidden size D and two layers of term widths WIDTHS."""
    rng = np.random.default_rng(seed)

    def draw(rows, columns):
        return rng.integers(-300, 300, (rows, columns)).astype(np.int32)

    width = sum(WIDTHS)
    pair = [tuple(draw(D, width) for _ in range(2)) for _ in range(2)]
    return Quantised(draw(K, D), pair[0], pair[1], WIDTHS, {"E": 8}, 0)
