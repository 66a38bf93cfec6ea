"""What hypothesis draws for the tests of the core."""

from __future__ import annotations

from hypothesis import strategies as st

from cometware import Args

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=30)
"""Text with everything in it: halves of surrogate pairs, NUL, line breaks."""

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | ANY_TEXT
    | st.binary(max_size=40)
)
KEYS = ANY_TEXT | st.sampled_from(["$bytes", "$args", "$$bytes", "$$$args", "$", "$bytes ", "$other"])
JSON_TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)
TREES = JSON_TREES | st.lists(JSON_TREES, max_size=3).map(Args)
"""Everything that a message may carry."""
