"""core/steps: the fast way of numbers says what Decimal says, or leaves it to Decimal."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mexcfast.core.steps import digits_of, float_on_step, plain_on_step

numbers = st.from_regex(r"[0-9]{1,19}(\.[0-9]{0,12})?", fullmatch=True)


@given(numbers, st.integers(1, 10**9), st.integers(0, 12))
@example("0.0", 1, 0)
@example("00.5", 5, 1)
@example("9223372036854775807", 1, 12)
@example("999999999999999999", 7, 12)
@example("84000.0", 1, 1)
@example("0.00001", 1, 5)
def test_what_it_takes_is_what_decimal_takes(text, step, scale):
    found = plain_on_step(text, step, scale)
    exact = Fraction(text.rstrip(".")) / Fraction(step, 10**scale)
    if found is not None:
        assert exact > 0 and exact.denominator == 1
        assert found == format(Decimal(text).normalize(), "f")
    elif len(text) <= 9 and exact > 0 and exact.denominator == 1:
        # Left to the exact way: only what is oddly written.
        assert text.endswith(".") or (text[0] == "0" and text[1:2] != ".")


@given(st.one_of(st.floats(), st.integers(-10, 10**16).map(float),
                 st.builds(lambda n, d: n / 10**d, st.integers(0, 10**16), st.integers(0, 14))),
       st.one_of(st.just(1), st.integers(1, 10**6)), st.integers(0, 20))
@example(84000.0, 1, 1)
@example(84000.5, 5, 1)
@example(0.1 + 0.2, 1, 1)
@example(1e-17, 1, 17)
@example(1e22, 1, 0)
@example(999999999999999.0, 1, 0)
@example(0.00001, 1, 5)
@example(100.0, 100, 0)
def test_a_float_taken_at_sight_is_its_shortest_text(value, step, scale):
    found = float_on_step(value, step, scale)
    if found is not None:
        assert found == format(Decimal(repr(value)).normalize(), "f")
        assert Fraction(found) % Fraction(step, 10**scale) == 0


@pytest.mark.parametrize(("value", "step", "scale", "text"), [
    (84000.0, 1, 1, "84000"), (84000.5, 5, 1, "84000.5"), (0.05, 1, 2, "0.05"),
    (1e-05, 1, 5, "0.00001"), (104231.4, 1, 1, "104231.4"), (7.0, 1, 0, "7"),
    (0.30000000000000004, 1, 1, None), (84000.55, 1, 1, None), (84000.5, 3, 1, None),
    (0.0, 1, 1, None), (-5.0, 1, 1, None), (float("nan"), 1, 1, None),
    (float("inf"), 1, 1, None), (5.0, 0, 0, None)])
def test_floats_taken_at_sight(value, step, scale, text):
    assert float_on_step(value, step, scale) == text


@pytest.mark.parametrize("text", ["", ".", ".5", "5.", "-5", "+5", "1e3", "1.2.3", "0", "0.000",
                                  "0x10", " 5", "5 ", "\u0665", "NaN", "1_000", "007",
                                  "1234567890123456789", None])
def test_what_is_unusual_is_left_to_the_exact_way(text):
    assert plain_on_step(text, 1, 9) is None


def test_a_step_of_zero_is_one_that_only_decimal_knows():
    assert plain_on_step("5", 0, 0) is None


@pytest.mark.parametrize(("value", "digits"), [
    (84000, "84000"), (84000.5, "84000.5"), (1e-5, "1e-05"), (Decimal("84000.10"), "84000.10"),
    ("+5", "+5"), (2**63 - 1, str(2**63 - 1)), (2**63, None), (-2**70, None), (True, None),
    (None, None), (b"5", None)])
def test_digits_are_those_of_the_plain_types(value, digits):
    assert digits_of(value) == digits
