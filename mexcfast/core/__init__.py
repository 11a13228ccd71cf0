"""The sans-I/O cores: no socket, no clock, no event loop, no randomness."""
