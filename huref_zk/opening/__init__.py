"""Opening chosen rows of a commitment; computing a whole one again (docs/openings.md)."""
