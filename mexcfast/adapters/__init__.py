"""mexcfast under other frameworks, each an extra: mexcfast[ccxt] and so on.

An adapter imports its framework, public names of mexcfast and nothing of another adapter.
"""
