"""Intervals and tests for shares, with a fixed seed. Pure."""

from __future__ import annotations

import random
from math import comb, sqrt
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

DRAWS = 2000
"""Samples of a bootstrap."""


class Interval(NamedTuple):
    """A share with its bounds, all in 0 to 1."""

    share: float
    low: float
    high: float


def wilson(count: int, total: int, z: float = 1.96) -> Interval:
    """The Wilson score interval of a share (Wilson 1927); 95% by default.

    Of nothing at all the share is 0, and may be anything.
    """
    if total == 0:
        return Interval(0.0, 0.0, 1.0)
    share = count / total
    scale = 1 + z * z / total
    middle = (share + z * z / (2 * total)) / scale
    half = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / scale
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def bootstrap(outcomes: Iterable[tuple[Hashable, bool]], *, seed: int = 0) -> Interval:
    """The share of hits, with a 95% interval from drawing whole clusters again.

    Pairs of one goal are not independent, so goals are drawn and not pairs.

    Args:
        outcomes: the cluster of each outcome, and whether it was a hit.
        seed: the same seed gives the same interval.
    """
    clusters: dict[Hashable, list[int]] = {}
    for cluster, is_hit in outcomes:
        counts = clusters.setdefault(cluster, [0, 0])
        counts[0] += is_hit
        counts[1] += 1
    groups = list(clusters.values())
    if not groups:
        return Interval(0.0, 0.0, 1.0)
    draw = random.Random(seed)  # noqa: S311 - a sample, no secret
    shares = sorted(
        sum(hits for hits, _ in sample) / sum(total for _, total in sample)
        for sample in ([draw.choice(groups) for _ in groups] for _ in range(DRAWS))
    )
    share = sum(hits for hits, _ in groups) / sum(total for _, total in groups)
    return Interval(share, shares[int(0.025 * DRAWS)], shares[int(0.975 * DRAWS)])


def mcnemar(pairs: Iterable[tuple[bool, bool]]) -> tuple[int, int, float]:
    """McNemar's exact test (two-sided) of two runs over the same scenarios.

    Returns:
        How many only the first has, how many only the second, and the probability of a
        difference this large when there is none.
    """
    first = second = 0
    for one, other in pairs:
        first += one and not other
        second += other and not one
    total = first + second
    if total == 0:
        return 0, 0, 1.0
    tail = sum(comb(total, k) for k in range(min(first, second) + 1)) / 2**total
    return first, second, min(1.0, 2 * tail)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies; 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
