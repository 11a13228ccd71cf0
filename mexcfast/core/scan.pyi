"""No Python face: scan is cimported only."""
