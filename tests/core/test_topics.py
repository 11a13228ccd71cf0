"""core/topics: every request of the vectors, and what is refused before it is sent."""

from __future__ import annotations

import json

import pytest

from mexcfast.core import topics
from mexcfast.core.channels import CHANNELS
from mexcfast.core.sign import Signer
from models import json_model

REQUESTS = {v["name"]: v["frame"] for v in json_model.vectors("client->server")}
BTC = "BTC_USDT"
T = topics

BUILT = {
    "req_ping": T.PING,
    "req_sub_tickers": T.tickers().subscribe_frame(),
    "req_unsub_tickers": T.tickers().unsubscribe_frame(),
    "req_sub_ticker": T.ticker(BTC).subscribe_frame(),
    "req_unsub_ticker": T.ticker(BTC).unsubscribe_frame(),
    "req_sub_deal": T.deals(BTC).subscribe_frame(),
    "req_sub_deal_uncompressed": T.deals(BTC, compress=False).subscribe_frame(),
    "req_unsub_deal": T.deals(BTC, compress=False).unsubscribe_frame(),
    "req_sub_depth": T.depth(BTC).subscribe_frame(),
    "req_sub_depth_compress": T.depth(BTC, compress=True).subscribe_frame(),
    "req_sub_depth_uncompressed": T.depth(BTC, compress=False).subscribe_frame(),
    "req_unsub_depth": T.depth(BTC, compress=False).unsubscribe_frame(),
    "req_sub_depth_full_5": T.depth_full(BTC, 5).subscribe_frame(),
    "req_sub_depth_full_10": T.depth_full(BTC, 10).subscribe_frame(),
    "req_sub_depth_full_default": T.depth_full(BTC).subscribe_frame(),
    "req_unsub_depth_full": T.depth_full(BTC, 5).unsubscribe_frame(),
    "req_sub_depth_step": T.depth_step(BTC, "10").subscribe_frame(),
    "req_unsub_depth_step": T.depth_step(BTC, "10").unsubscribe_frame(),
    "req_sub_kline": T.kline(BTC, "Min60").subscribe_frame(),
    "req_unsub_kline_interval": T.kline(BTC, "Min60").unsubscribe_frame(),
    "req_sub_funding_rate": T.funding_rate(BTC).subscribe_frame(),
    "req_unsub_funding_rate": T.funding_rate(BTC).unsubscribe_frame(),
    "req_sub_index_price": T.index_price(BTC).subscribe_frame(),
    "req_unsub_index_price": T.index_price(BTC).unsubscribe_frame(),
    "req_sub_fair_price": T.fair_price(BTC).subscribe_frame(),
    "req_unsub_fair_price": T.fair_price(BTC).unsubscribe_frame(),
    "req_sub_contract": T.contracts().subscribe_frame(),
    "req_unsub_contract": T.contracts().unsubscribe_frame(),
    "req_sub_event_contract": T.event_contracts().subscribe_frame(),
    "req_filter_all_empty_list": T.filter_frame(None),
    "req_filter_asset": T.filter_frame({"asset": []}),
    "req_filter_adl": T.filter_frame({"adl.level": []}),
    "req_filter_mixed": T.filter_frame({
        "order": [BTC], "order.deal": ["EOS_USDT", "ETH_USDT", BTC],
        "position": ["EOS_USDT", BTC], "asset": []}),
    "req_login": Signer("mxU1TzSmRDW1o5AsE", "mexcfast-demo-secret-0001").login(1611038237237),
    "req_login_no_default_push": Signer("mxU1TzSmRDW1o5AsE", "mexcfast-demo-secret-0001").login(
        1611038237237, subscribe=False),
}
NOT_SENT = {
    "req_sub_tickers_plaintext": "asks for what comes anyway",
    "req_sub_kline_plaintext": "asks for what comes anyway",
    "req_usub_depth_full_typo": "misspelt in old documents",
    "req_unsub_kline": "without an interval it would end the others too",
    "req_filter_all_no_param": "the empty list says the same",
    "req_login_docs_sample": "signed with a secret nobody knows",
}


def test_every_request_is_accounted_for():
    rules_left_out = {"req_filter_deals_rules_empty"}
    assert set(BUILT) | set(NOT_SENT) | rules_left_out == set(REQUESTS)
    assert not set(BUILT) & set(NOT_SENT)


@pytest.mark.parametrize("name", BUILT)
def test_request(name):
    assert json.loads(BUILT[name]) == REQUESTS[name]
    assert b" " not in BUILT[name].replace(b"USDT ", b""), "compact"


def test_empty_rules_are_left_out():
    wanted = REQUESTS["req_filter_deals_rules_empty"]
    assert wanted["param"]["filters"][0].pop("rules") == []
    assert json.loads(T.filter_frame({"order.deal": []})) == wanted


@pytest.mark.parametrize("symbol", ["", "btc_usdt", "BTC USDT", None, 5, "A" * 61, b"BTC_USDT"])
def test_symbols_are_checked(symbol):
    for make in (T.depth, T.deals, T.ticker, T.funding_rate, T.index_price, T.fair_price,
                 T.depth_full, lambda s: T.kline(s, "Min1"), lambda s: T.depth_step(s, "1")):
        with pytest.raises(ValueError, match="symbol is"):
            make(symbol)


@pytest.mark.parametrize("interval", ["Hour1", "min1", "", None, "1m"])
def test_intervals_are_checked(interval):
    with pytest.raises(ValueError, match="interval is"):
        T.kline(BTC, interval)


@pytest.mark.parametrize("limit", [0, 1, 15, 1000, "5"])
def test_limits_are_checked(limit):
    with pytest.raises(ValueError, match="limit is"):
        T.depth_full(BTC, limit)


@pytest.mark.parametrize("filters, match", [
    ({"track.order": []}, r"filter is 'track\.order'"), ({"asset": [BTC]}, "takes no symbols"),
    ({"adl.level": [BTC]}, "takes no symbols"), ({}, "empty"),
])
def test_filters_are_checked(filters, match):
    with pytest.raises(ValueError, match=match):
        T.filter_frame(filters)


def test_topics_are_values():
    assert T.depth(BTC) == T.depth(BTC)
    assert len({T.depth(BTC), T.depth(BTC), T.depth(BTC, compress=True), T.deals(BTC)}) == 3
    assert T.kline(BTC, "Min1") != T.kline(BTC, "Min5")
    assert str(T.kline(BTC, "Min1")) == "kline BTC_USDT interval=Min1"
    assert (str(T.tickers()), str(T.depth(BTC))) == ("tickers", "depth BTC_USDT")
    with pytest.raises(AttributeError):
        T.depth(BTC).symbol = "ETH_USDT"


def test_every_public_channel_has_a_topic():
    made = {json.loads(frame)["method"].removeprefix("sub.") for name, frame in BUILT.items()
            if name.startswith("req_sub_")}
    assert made == {row.name.removeprefix("push.") for row in CHANNELS
                    if row.name.startswith("push.") and "personal" not in row.name}


def test_symbols_outside_ascii_are_sent_as_they_are():
    assert json.loads(T.depth("永续_USDT").subscribe_frame())["param"] == {"symbol": "永续_USDT"}
