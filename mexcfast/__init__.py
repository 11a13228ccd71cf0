"""mexcfast: the fastest and safest way to trade MEXC futures from Python."""

__version__ = "0.1.0"
