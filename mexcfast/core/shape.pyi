"""No Python face: shape is cimported only."""
