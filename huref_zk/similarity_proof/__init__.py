"""Prove how similar two committed models are, and nothing else about either.

docs/similarity-proof.md has the statement, the circuit, the argument and the file format.
"""
