"""Checks of `mexcfast doctor` about the key: its rights, its age and addresses, withdrawals."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, date, datetime
from typing import Any

import aiohttp

from mexcfast.cli.checkup import Finding, Patient, check
from mexcfast.core.intent import cancel_body
from mexcfast.core.rest import GROUPS, Subject, judge_items
from mexcfast.errors import PermissionDenied, VenueError
from mexcfast.keys import KEY_VARIABLE, SECRET_VARIABLE
from mexcfast.types import Rejected

#: No order has this id: a cancel of it shows whether the key may trade, and does nothing.
NO_ORDER = 1
KEY_DAYS = 90           # a key without a bound address lives so long (protocol.md 1)
SOON_DAYS = 14
NO_KEYS = f"no {KEY_VARIABLE} and {SECRET_VARIABLE} in the environment"
WRONG_ADDRESS = 406     # "Accessing IP is not in the whitelist"
PATIENCE_S = 10.0

# The wallet's API, which the futures keys share: MEXC's spot documentation, "withdraw history",
# permission SPOT_WITHDRAW_READ, and its table of error codes, read 2026-11.
WITHDRAWALS = "/api/v3/capital/withdraw/history"
NO_RIGHT, OTHER_ADDRESS = 700007, 700006


def _advice(error: VenueError) -> str:
    if error.code == WRONG_ADDRESS:
        return ("The key is bound to other addresses than this machine's: add this one on the "
                "exchange's page of API keys.")
    return error.advice


@check("keys", needs="rest")
async def keys(patient: Patient) -> Finding:
    """What the key may do: account, orders, trading. Trading is asked by cancelling no order."""
    if not patient.has_keys:
        return Finding("skipped", NO_KEYS, advice="export both to have the key examined.")
    rights: dict[str, Any] = {}
    advice = ""
    for right, name in (("account", "balances"), ("orders", "open_orders")):
        try:
            await patient.executor.request(name)
            rights[right] = True
        except PermissionDenied as error:
            rights[right] = f"no: {error}"
            advice = _advice(error)
    whole = await patient.executor.execute("cancel", cancel_body([NO_ORDER]), wait=True)
    outcome, = judge_items(whole, (Subject(None, None, NO_ORDER),))
    if isinstance(outcome, Rejected) and isinstance(outcome.error, PermissionDenied):
        rights["trading"] = f"no: {outcome.error}"
        advice = advice or _advice(outcome.error)
    elif isinstance(outcome, Rejected) and outcome.code not in (2040, 2041):
        return Finding("failed", str(outcome.error), rights, outcome.error.advice)
    else:
        rights["trading"] = True
    missing = [f"{right} {found}" for right, found in rights.items() if found is not True]
    if missing:
        return Finding("failed", "; ".join(missing), rights, advice)
    return Finding("ok", "may read the account and orders, and trade", rights)


@check("key age")
async def key_age(patient: Patient) -> Finding:
    """When the key ends. The exchange has no request that says it, nor to what it is bound."""
    if not patient.has_keys:
        return Finding("skipped", NO_KEYS)
    rule = (f"a key that is bound to no address ends {KEY_DAYS} days after it was made, and the "
            "exchange tells neither over its API")
    if patient.key_created is None:
        return Finding("skipped", rule, {"days_left": None}, "Bind the key to this machine's "
                       "address, which also keeps thieves out; or say --key-created YYYY-MM-DD to "
                       "be reminded.")
    left = KEY_DAYS - (today() - patient.key_created).days
    data = {"created": patient.key_created.isoformat(), "days_left": left}
    if left > KEY_DAYS:
        return Finding("failed", f"the key was made {patient.key_created}, which has not come yet",
                       data, "Correct --key-created.")
    if left <= 0:
        return Finding("warning", f"the key has ended {-left} days ago unless it is bound to an "
                       "address", data, "Make a new one, bound to this machine's address.")
    text = f"the key has {left} days left unless it is bound to an address"
    if left < SOON_DAYS:
        return Finding("warning", text, data, "Make a new one in time, or bind it to an address.")
    return Finding("ok", text, data)


def today() -> date:
    """UTC."""
    return datetime.now(UTC).date()


async def _asked(session: aiohttp.ClientSession, url: str, headers: dict[str, str]
                 ) -> tuple[int, Any]:
    """Status, and the JSON value; None when it is none."""
    async with session.get(url, headers=headers) as answer:
        try:
            return answer.status, json.loads(await answer.text(errors="replace"))
        except ValueError:
            return answer.status, None


@check("withdrawals", needs="rest")
async def withdrawals(patient: Patient) -> Finding:
    """Whether the key reaches withdrawals, which no bot needs. Only reads: their history."""
    if patient.sign_query is None:
        return Finding("skipped", NO_KEYS)
    clock = patient.executor.clock
    query = f"limit=1&timestamp={clock.venue_ms() if clock.is_synced else clock.wall_ms()}"
    url = f"{patient.endpoint.rest_url.rstrip('/')}{WITHDRAWALS}?{query}"
    async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
        status, reply = await _asked(session, url, {})
        if not isinstance(reply, list):         # who answers strangers proves nothing of a key
            status, reply = await _asked(
                session, f"{url}&signature={patient.sign_query(query)}",
                {"X-MEXC-APIKEY": patient.executor.access_key})
        else:
            status, reply = 404, None
    code = reply.get("code") if isinstance(reply, dict) else None
    data = {"status": status, "code": code, "reads_withdrawals": None}
    if status == 200 and isinstance(reply, list):
        return Finding("warning", "the key reaches withdrawals: it may read them, and whether it "
                       "may also make some cannot be asked without trying",
                       data | {"reads_withdrawals": True},
                       "Make a key without any withdrawal right for the bot, delete this one.")
    if code == NO_RIGHT:
        return Finding("ok", "the key does not reach withdrawals",
                       data | {"reads_withdrawals": False})
    if code == OTHER_ADDRESS:
        return Finding("warning", "the wallet refuses this machine's address", data,
                       "The key is bound to other addresses.")
    why = "has no wallet to ask" if status == 404 else f"answered HTTP {status}, code {code}"
    return Finding("skipped", f"not known: {patient.endpoint.rest_url} {why}", data,
                   "Look at the key's rights on the exchange's page of API keys: no withdrawal.")


@check("budgets")
async def budgets(patient: Patient) -> Finding:
    """The venue's limits as they are kept here."""
    shown = ("order_place", "amend", "cancel", "cancel_all", "plan_place", "depth")
    limits = {group: patient.endpoint.limits.get(group, limit) for group, limit in GROUPS.items()}
    text = ", ".join(f"{group} {limits[group][0]} per {limits[group][1] / 1000:g} s"
                     for group in shown)
    return Finding("ok", text, {"groups": {group: list(limit) for group, limit in limits.items()},
                                "margin_ms": patient.endpoint.margin_ms})
