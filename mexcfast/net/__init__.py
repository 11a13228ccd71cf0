"""Thin shells around the cores: the only rooms that know asyncio."""
