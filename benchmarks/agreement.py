"""How exact is a fingerprint? ``python -m benchmarks.agreement [MODEL]``

Compares, on a real model (SmolLM2-135M-Instruct by default): the sketch of the quantised weights
with that of the float weights, the circuit's integers with onnxruntime on the same graph, and with
the encoder in real numbers. Prints one JSON object.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import onnxruntime

from benchmarks.end_to_end import smollm2
from huref_zk.circuit.encoder import P, encode_exact, encode_float, load_encoder
from huref_zk.circuit.graph import build_graph, input_names
from huref_zk.circuit.shape import SALTS
from huref_zk.fingerprint import prepare, sketch_of
from huref_zk.quantise import integer_maps, projected
from huref_zk.sketch import PUBLIC_SEED


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = (np.asarray(x, dtype=np.float64).ravel() for x in (a, b))
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def main() -> None:
    prepared = prepare(sys.argv[1] if len(sys.argv) > 1 else smollm2())
    exact = integer_maps(prepared.quantised, PUBLIC_SEED, P)
    sketched = sketch_of(prepared, PUBLIC_SEED)
    v = encode_exact(load_encoder(), exact, prepared.shape.shift)

    sides = projected(prepared.quantised, PUBLIC_SEED, P)
    rows = np.concatenate(sides).astype(np.float32)
    rows = np.concatenate([rows, np.zeros((2 * P, SALTS), dtype=np.float32)], axis=1)
    session = onnxruntime.InferenceSession(
        build_graph(prepared.shape, load_encoder()), providers=["CPUExecutionProvider"]
    )
    feed = {name: rows[i : i + 1] for i, name in enumerate(input_names())}
    (real,) = session.run(["v"], feed)

    by_map = [cosine(np.array(m, dtype=float), s) for m, s in zip(exact, sketched, strict=True)]
    figures = {
        "ics_of_quantised_to_float_sketch": float(np.mean(by_map)),
        "least_of_a_map": min(by_map),
        "cosine_of_v_to_onnxruntime": cosine(np.array(v, dtype=float), real),
        "cosine_of_v_to_float_sketch_and_encoder": cosine(
            np.array(v, dtype=float), encode_float(load_encoder(), sketched)
        ),
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
