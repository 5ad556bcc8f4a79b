"""Student's t distribution, with any number of degrees of freedom above 0."""

import math


def student_t_tail(t: float, degrees_of_freedom: float) -> float:
    """P(|T| >= |t|): the two-sided p-value of t, exact to about 1e-12.

    The regularized incomplete beta function I_x(nu / 2, 1 / 2) at x = nu / (nu + t^2) (Abramowitz and Stegun,
    26.7.1), by its continued fraction (26.5.8).

    >>> round(student_t_tail(2.228, 10), 4), student_t_tail(0, 3)
    (0.05, 1.0)
    """
    _check(degrees_of_freedom)
    if math.isinf(t):
        return 0.0
    x = degrees_of_freedom / (degrees_of_freedom + t * t)
    return _incomplete_beta(x, degrees_of_freedom / 2, 0.5)


def student_t_quantile(probability: float, degrees_of_freedom: float) -> float:
    """Quantile of Student's t, by halving an interval of t; probability in (0, 1).

    >>> round(student_t_quantile(0.975, 10), 3)
    2.228
    """
    _check(degrees_of_freedom)
    outside = 2 * min(probability, 1 - probability)  # in both tails together
    low, high = 0.0, 1.0
    while student_t_tail(high, degrees_of_freedom) > outside and high < 1e100:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        if student_t_tail(middle, degrees_of_freedom) > outside:
            low = middle
        else:
            high = middle
    return math.copysign((low + high) / 2, probability - 0.5) if outside < 1 else 0.0


def _check(degrees_of_freedom: float) -> None:
    if not degrees_of_freedom > 0:
        raise ValueError(f"{degrees_of_freedom} degrees of freedom; more than 0 are needed")


def _incomplete_beta(x: float, a: float, b: float) -> float:
    if x <= 0 or x >= 1:
        return min(max(x, 0.0), 1.0)
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if x < (a + 1) / (a + b + 2):  # where the fraction converges quickly
        return math.exp(scale) * _continued_fraction(x, a, b) / a
    return 1 - math.exp(scale) * _continued_fraction(1 - x, b, a) / b


def _continued_fraction(x: float, a: float, b: float) -> float:
    """26.5.8 without its factor x^a (1 - x)^b / (a B(a, b)), forwards (Lentz, 1976)."""
    above, below = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1))
    value = below
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            above, below = _not_zero(1 + term / above), 1 / _not_zero(1 + term * below)
            value *= above * below
        if abs(above * below - 1) < 1e-15:
            break
    return value


def _not_zero(number: float) -> float:
    return number or 1e-300
