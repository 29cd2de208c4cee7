"""Arbitrary texts."""

from typing import Any

from hypothesis import strategies as st

#: Every character there is: NUL and halves of surrogate pairs too.
ANY = st.text(st.characters(codec=None, exclude_categories=()) | st.sampled_from("\0\ud83c\udff0 \n"))
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | ANY,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY, inner, max_size=4),
    max_leaves=20,
)
