"""errors.py: the tree, the code table, the words."""

from __future__ import annotations

import copy
import pickle

import pytest

from mexcfast import errors
from mexcfast.errors import (
    CODES,
    BadAnswer,
    BudgetSpent,
    EdgeError,
    IntentError,
    MaintenanceError,
    MexcfastError,
    OrderRejected,
    ParameterError,
    SymbolError,
    VenueError,
    VenueFault,
    venue_error,
)

# protocol.md 17, second reading: class word of the table -> codes.
TABLE = {
    "AuthenticationError": "401 402 1000",
    "SignatureError": "602",
    "PermissionDenied": "403 406 506 511 701 702 703 704 6001 6002 6026 200005 200006 300000 "
                        "300001",
    "ClockError": "513",
    "RateLimited": "429 510 2037",
    "ParameterError": "400 404 600 601 603 1003 1004 2001 2002 2006 2011 2012 2015 2022 2029 2030 "
                      "2035 3001 3002 3003 3004 4001 5001 6003 6004 8817",
    "SymbolError": "1001 1002 6005",
    "InsufficientBalance": "2005 2018",
    "OrderRejected": "2003 2004 2007 2032 2033 2041 2042 5003 5004",
    "NotFound": "2040 5002",
    "PositionError": "2008 2009 2019 2021 2023 2024 2026 2027 2043",
    "LimitExceeded": "2013 2014 2016 2025 2028 2031 2034 2036 2038",
    "MaintenanceError": "604 801 11444",
    "VenueFault": "500 501 503 504 9999",
}


def test_every_code_has_its_class():
    expected = {int(code): name for name, codes in TABLE.items() for code in codes.split()}
    assert {code: kind.__name__ for code, kind in CODES.items()} == expected
    for code, name in expected.items():
        error = venue_error(code, "text")
        assert type(error) is getattr(errors, name)
        assert (error.code, error.message, error.announcement) == (code, "text", None)


@pytest.mark.parametrize(("code", "text", "notice", "kind"), [
    (1002, "Contract not allow place order!", None, MaintenanceError),
    (1002, "contract not activated", None, SymbolError),
    (500, "System internal error!", None, VenueFault),
    (500, "Under maintenance", None, MaintenanceError),
    (500, "x", "https://example.invalid/notice", MaintenanceError),
    (401, "System internal error!", None, errors.AuthenticationError),
    (0, "", None, VenueError), (200, "", None, VenueError), (None, "", None, VenueError),
])
def test_text_decides_for_two_codes_only(code, text, notice, kind):
    error = venue_error(code, text, notice)
    assert type(error) is kind
    assert error.announcement == notice


@pytest.mark.parametrize(("status", "write", "kind"), [
    (200, False, ParameterError), (500, False, VenueFault),
    (200, True, OrderRejected), (400, True, OrderRejected), (502, True, VenueFault),
])
def test_unknown_code_is_kept(status, write, kind):
    error = venue_error(730001, "?", status=status, changes_state=write)
    assert type(error) is kind
    assert error.code == 730001


@pytest.mark.parametrize("error", [
    venue_error(2005, "Insufficient balance!"), venue_error(500, "x", "https://x.invalid"),
    EdgeError(403), BadAnswer("not JSON", 200), IntentError("price", "1.05", "a multiple of 0.1"),
    BudgetSpent("order_create", 1_500_000), errors.KillSwitchTripped("manual", 1, "why"),
])
def test_errors_survive_pickling_and_copying(error):
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert twin.__dict__ == error.__dict__


def test_words():
    assert str(IntentError("price", "1.05", "a multiple of 0.1")) == (
        "price is '1.05'; allowed: a multiple of 0.1")
    assert str(venue_error(2005, "Insufficient balance!")) == "2005: Insufficient balance!"
    assert str(venue_error(None)) == "no code: no text"
    assert str(venue_error(801, "a", "b")) == "801: a (b)"
    assert str(EdgeError(403)) == "HTTP 403: the edge firewall answered"
    assert str(BadAnswer("empty")) == "empty"
    assert str(BudgetSpent("g", 1_500_000)) == "budget 'g' is used up; next slot in 1.5 ms"


def test_every_code_and_every_class_has_advice():
    own = []
    for code in CODES:
        advice = venue_error(code, "text").advice
        assert 10 < len(advice) < 200 and advice.endswith("."), code
        own.append(advice)
    assert len(set(own)) > len(set(CODES.values())), "some codes need their own words"
    assert set(errors._ADVICE) <= set(CODES)
    for name in errors.__all__:
        kind = getattr(errors, name)
        if isinstance(kind, type) and kind is not MexcfastError:
            assert "_advice" in vars(kind), f"{name} says nothing of its own"
            assert kind._advice.endswith("."), name


def test_words_of_the_kill_switch():
    error = errors.KillSwitchTripped("manual", 1_700_000_000_123, "why")
    assert str(error) == ("not sent: the kill switch tripped at 1700000000123 (ms since 1970) by "
                          "manual: why")
    assert error.endpoint == "" and "reset" in error.advice


def test_one_root():
    for name in errors.__all__:
        thing = getattr(errors, name)
        if isinstance(thing, type):
            assert issubclass(thing, MexcfastError)
            assert thing.__name__ in errors.__doc__, "drawn in the tree"
