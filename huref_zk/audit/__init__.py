"""Spot checks of inference: committed layers at work (docs/inference-audit.md)."""
