"""Trying to break the verifier, one named deviation at a time: `make soundness`. See README.md."""
