"""Trying to break the verifier, one named deviation at a time: `make soundness`. See README.md."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
