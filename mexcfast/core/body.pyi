"""No Python face: body is cimported only."""
