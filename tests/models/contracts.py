"""Contracts for tests: the BTC_USDT sample of tests/data, opened to API trading."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mexcfast.core.rest import BY_NAME, read_answer

_LINES = (Path(__file__).parents[1] / "data" / "rest_responses.jsonl").read_text(encoding="utf-8")
_LINE = next(line for line in _LINES.splitlines() if '"name": "detail_one_symbol"' in line)
#: The answer to contract/detail?symbol=BTC_USDT.
BTC_DETAIL = _LINE[_LINE.index('"response": ') + 12:-1].encode()
BTC = replace(read_answer(BY_NAME["contracts"], 200, BTC_DETAIL)[0], api_allowed=True)
