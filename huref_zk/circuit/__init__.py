"""The statement inside the SNARK: projected rows -> invariant maps -> encoder -> v."""
