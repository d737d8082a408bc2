"""How exact is a fingerprint? ``python -m benchmarks.agreement [MODEL]``

Compares, on a real model (SmolLM2-135M-Instruct by default): the sketch of the quantised weights
with that of the float weights, the circuit's integers with onnxruntime on the same graph, and with
the encoder in real numbers. Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import numpy as np
import onnxruntime

from huref_zk.circuit.graph import build_graph, input_names
from huref_zk.circuit.shape import SALTS, Shape
from huref_zk.invariants.encoder import P, encode_exact, encode_float, load_encoder
from huref_zk.invariants.quantise import integer_maps, projected
from huref_zk.invariants.sketch import PUBLIC_SEED, ics_maps
from huref_zk.proofs.prepare import prepare, sketch_of
from research.benchmarks.end_to_end import smollm2


def cosine(a: Sequence[int] | np.ndarray, b: Sequence[int] | np.ndarray) -> float:
    x, y = (np.asarray(values, dtype=np.float64).ravel() for values in (a, b))
    return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))


def graph_in_floats(shape: Shape, rows: np.ndarray) -> np.ndarray:
    """v as onnxruntime computes it from projected rows (2 P, L) without salts: float32 (512,)."""
    salted = np.pad(rows.astype(np.float32), ((0, 0), (0, SALTS)))
    session = onnxruntime.InferenceSession(
        build_graph(shape, load_encoder()), providers=["CPUExecutionProvider"]
    )
    (v,) = session.run(["v"], {n: salted[i : i + 1] for i, n in enumerate(input_names())})
    return v.ravel()


def main() -> None:
    prepared = prepare(sys.argv[1] if len(sys.argv) > 1 else smollm2())
    exact = integer_maps(prepared.quantised, PUBLIC_SEED, P)
    sketched = sketch_of(prepared, PUBLIC_SEED)
    v = encode_exact(load_encoder(), exact, prepared.shape.shift)

    rows = np.concatenate(projected(prepared.quantised, PUBLIC_SEED, P))
    real = graph_in_floats(prepared.shape, rows)
    floats = encode_float(load_encoder(), sketched)
    by_map = ics_maps(np.array(exact, dtype=np.float64), sketched)
    figures = {
        "ics_of_quantised_to_float_sketch": float(by_map.mean()),
        "least_of_a_map": float(by_map.min()),
        "cosine_of_v_to_onnxruntime": cosine(v, real),
        "cosine_of_v_to_float_sketch_and_encoder": cosine(v, floats),
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
