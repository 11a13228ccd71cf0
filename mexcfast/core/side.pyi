"""No Python face: side is cimported only."""
