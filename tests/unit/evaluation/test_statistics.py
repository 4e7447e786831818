"""Intervals and tests, against values computed elsewhere."""

import pytest

from permissions.evaluation.statistics import bootstrap, mcnemar, percentile, wilson


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        (0, 909, 0.0, 0.0042),
        (11, 909, 0.0068, 0.0215),
        (16, 16, 0.8064, 1.0),
        (5, 10, 0.2366, 0.7634),
    ],
    ids=["none", "few", "all", "half"],
)
def test_wilson(count: int, total: int, low: float, high: float) -> None:
    found = wilson(count, total)

    assert found.share == count / total
    assert found.low == pytest.approx(low, abs=1e-3)
    assert found.high == pytest.approx(high, abs=1e-3)


def test_of_nothing_everything_is_possible() -> None:
    assert wilson(0, 0) == (0.0, 0.0, 1.0)
    assert bootstrap([]) == (0.0, 0.0, 1.0)


def test_goals_are_drawn_and_not_pairs() -> None:
    """Ten pairs of one goal are one draw: the interval is as wide as two goals make it."""
    outcomes = [("a", True)] * 10 + [("b", False)] * 10

    assert bootstrap(outcomes) == (0.5, 0.0, 1.0)
    assert bootstrap(outcomes, seed=1) == bootstrap(outcomes, seed=1)


def test_mcnemar_counts_only_what_differs() -> None:
    pairs = [(True, True)] * 50 + [(True, False)] * 8 + [(False, True)] * 1

    first, second, chance = mcnemar(pairs)

    assert (first, second) == (8, 1)
    assert chance == pytest.approx(2 * (1 + 9) / 2**9)
    assert mcnemar([(True, True)]) == (0, 0, 1.0)


def test_percentile() -> None:
    assert [percentile([3.0, 1.0, 2.0], share) for share in (0.0, 0.5, 0.99)] == [1.0, 2.0, 3.0]
    assert percentile([], 0.5) == 0.0
