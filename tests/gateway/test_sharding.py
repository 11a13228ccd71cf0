"""gateway/sharding: the same answer everywhere, even shares, few moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexcfast.errors import ConfigError
from mexcfast.gateway import Shard, shard_of

NAMES = [f"COIN{number}_USDT" for number in range(1100)]


@given(st.text(min_size=1, max_size=12), st.integers(1, 40))
def test_each_contract_has_one_shard(symbol, count):
    try:
        symbol.encode()
    except UnicodeEncodeError:
        return
    owners = [number for number in range(count) if Shard(number, count).owns(symbol)]
    assert owners == [shard_of(symbol, count)]


def test_it_is_the_same_for_ever():
    assert [shard_of(name, 4) for name in ("BTC_USDT", "ETH_USDT", "SOL_USDT", "DOGE_USDT")] == (
        FIXED), "another hash would move the contracts of running shards"


@pytest.mark.parametrize("count", [2, 4, 8])
def test_shares_are_even(count):
    shares = [len(Shard(number, count).of(NAMES)) for number in range(count)]
    assert sum(shares) == len(NAMES)
    assert max(shares) < 1.25 * len(NAMES) / count and min(shares) > 0.75 * len(NAMES) / count


@pytest.mark.parametrize("count", range(1, 9))
def test_only_the_new_shards_contracts_move(count):
    moved = [name for name in NAMES if shard_of(name, count) != shard_of(name, count + 1)]
    assert all(shard_of(name, count + 1) == count for name in moved)
    assert len(moved) < 1.3 * len(NAMES) / (count + 1)


@pytest.mark.parametrize("text", ["", "4", "4/4", "0/0", "-1/4", "0/4/1", "a/b", "0/1025", "0 / 4"])
def test_what_is_no_shard(text):
    with pytest.raises(ConfigError, match="allowed: 0/1 to 1023/1024"):
        Shard.parse(text)


def test_names():
    assert str(Shard.parse("3/4")) == "3/4" and Shard.parse("0/1").of(["A", "B"]) == ["A", "B"]


FIXED = [2, 0, 0, 1]
