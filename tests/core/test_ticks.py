"""core/ticks against decimal and float of the standard library."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mexcfast.core.ticks import to_fixed, to_float, to_ticks
from models.json_model import fits

LARGEST = 2**63 - 1
mantissas = st.integers(-LARGEST, LARGEST)
scales = st.integers(0, 36)


def plain(mantissa: int, scale: int) -> str:
    """mantissa / 10**scale without exponent."""
    return format(Decimal(mantissa).scaleb(-scale), "f")


@given(mantissas, scales)
@example(LARGEST, 0)
@example(-LARGEST, 36)
@example(0, 36)
@example(10**18, 18)
def test_reading_what_was_written_gives_the_same_value(mantissa, scale):
    got, got_scale = to_fixed(plain(mantissa, scale))
    assert got * 10**36 == mantissa * 10**(36 - scale + got_scale)
    assert got_scale == 0 or got % 10, "no zero behind the point is kept"
    assert to_fixed(Decimal(mantissa).scaleb(-scale)) == (got, got_scale)


@given(mantissas, scales)
@example(2**53 + 1, 0)
@example(2**53, 22)
@example(2**53 + 1, 22)
@example(9007199254740993, 23)
@example(123456789012345678, 36)
def test_the_float_is_the_nearest(mantissa, scale):
    assert to_float(mantissa, scale) == float(plain(mantissa, scale))
    assert to_float(mantissa, scale) == float(f"{mantissa}e-{scale}")


numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?",
                        fullmatch=True)


@given(numbers)
@example("6.106243567181E7")
@example("6.3e-05")
@example("97284530.448634083318792525314410007362")
@example("109777.500000000000000000")
@example("9223372036854775807")
@example("9223372036854775808")
@example("-9223372036854775808")
@example("0.000000000000000000000000000000000001")
@example("0.0000000000000000000000000000000000001")
@example("0e999")
@example("-0")
def test_every_json_number_is_exact_or_refused(text):
    value = Decimal(text)
    try:
        mantissa, scale = to_fixed(text)
    except ValueError:
        assert not fits(text, 36)
        return
    assert fits(text, 36)
    assert Decimal(mantissa).scaleb(-scale) == value
    assert abs(mantissa) <= LARGEST
    assert 0 <= scale <= 36
    assert to_float(mantissa, scale) == float(text)


@pytest.mark.parametrize("text", [
    "", " 1", "1 ", "+1", ".5", "5.", "-", "-.5", "01", "00", "-01", "1e", "1e+", "1e1.5", "1.2.3",
    "0x10", "1_000", "NaN", "nan", "Infinity", "inf", "1,5", "\u0661", "1\0", "--1", "1e5e5", "e5",
    "\ud800",
])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(ValueError):
        to_fixed(text)


@pytest.mark.parametrize("text", [
    "1e19", "1e4096", "1e-37", "1e-99999", "1e99999999999999999999", "-1e99999",
    "0." + "0" * 9998 + "1e99999", "1" + "0" * 9998 + "e-99999", "1" + "0" * 30,
    "0.9999999999999999999", "9223372036854775808",
])
def test_what_does_not_fit_is_refused(text):
    with pytest.raises(ValueError, match=r"price is '.*allowed"):
        to_fixed(text, "price")


def test_exponents_and_zeros_that_meet_are_read():
    assert to_fixed("0." + "0" * 999 + "1e1000") == (1, 0)
    assert to_fixed("1" + "0" * 1000 + "e-1000") == (1, 0)
    assert to_fixed("0e99999") == (0, 0)


@pytest.mark.parametrize("value", [None, True, b"1", [1], 1j, float("nan"), float("inf"),
                                   Decimal("NaN"), Decimal("-Infinity"), 2**63])
def test_objects_that_are_no_number(value):
    with pytest.raises(ValueError, match=r"stop is .*allowed"):
        to_fixed(value, "stop")


def test_an_integer_too_long_for_python_to_print():
    with pytest.raises(ValueError):
        to_fixed(10**5000)


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(84062.6)
@example(1e-5)
@example(5e-324)
def test_floats_are_taken_by_their_shortest_text(value):
    try:
        mantissa, scale = to_fixed(value)
    except ValueError:
        assert value == 0 or abs(value) > 9e18 or len(repr(value)) > 17 or abs(value) < 1e-18
        return
    assert to_float(mantissa, scale) == value
    assert Decimal(mantissa).scaleb(-scale) == Decimal(repr(value))


@pytest.mark.parametrize("scale", [-1, 37, 10**6])
def test_scales_out_of_range(scale):
    with pytest.raises(ValueError, match="0 to 36"):
        to_float(1, scale)


@given(st.integers(1, 10**9), st.integers(0, 9), st.integers(1, 10**6))
def test_ticks_are_exact(steps, scale, tick):
    size = Decimal(tick).scaleb(-scale)
    assert to_ticks(size * steps, size) == steps
    assert to_ticks(plain(steps * tick, scale), plain(tick, scale)) == steps


@given(st.decimals("0.000001", "1000000", places=6), st.decimals("0.000001", "1000", places=6))
def test_ticks_are_refused_when_inexact(price, size):
    if price % size:
        with pytest.raises(ValueError, match="multiple of"):
            to_ticks(price, size)
    else:
        assert to_ticks(price, size) == price / size


def test_negative_prices_keep_their_sign():
    assert to_ticks("-7", "1") == -7
    assert to_ticks(-6, 2) == -3
    with pytest.raises(ValueError, match="multiple"):
        to_ticks(-7, 2)


@pytest.mark.parametrize("size", [0, -1, "0.0"])
def test_a_tick_is_above_zero(size):
    with pytest.raises(ValueError, match="tick_size"):
        to_ticks(1, size)


def test_what_is_too_large_at_the_tick():
    with pytest.raises(ValueError, match="63 bits"):
        to_ticks(LARGEST, "0.1")
