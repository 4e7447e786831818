"""JSON values of every kind and nesting, and no larger than it takes to have them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
SAFE_SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8)
)
"""Whose canonical form is their own: no fraction, no integer that a double would round."""


def json_values(
    scalars: SearchStrategy[Any] = SCALARS,
    *,
    names: SearchStrategy[str] | None = None,
    leaves: int = 10,
) -> SearchStrategy[Any]:
    """Scalars, and lists and objects of them.

    Args:
        scalars: what is not nested.
        names: of an object's members; short texts if None.
        leaves: at most so many scalars in one value.
    """
    keys = names if names is not None else st.text(max_size=4)
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=leaves,
    )
