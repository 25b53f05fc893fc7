"""What a batch says of its speed and of the time that is left."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.engine.items.pace import Pace

ITEMS = st.lists(
    st.tuples(st.integers(1, 70_000), st.lists(st.floats(0, 1), max_size=9)), min_size=1, max_size=6
)


@settings(deadline=None)
@given(items=ITEMS)
def test_nothing_is_left_at_the_end(items: list[tuple[int, list[float]]]) -> None:
    """Not a hair more or less, in whatever steps it was reached; and never less than nothing."""
    pace = Pace(len(items))
    for item, (pixels, _) in enumerate(items):
        pace.expect(item, pixels)
    pace.begin()
    for item, (_, shares) in enumerate(items):
        for share in shares:
            pace.reach(item, share)
            left = pace.now().seconds_left
            assert left is None or left >= 0
        pace.end(item, done=True)
    last = pace.now()

    assert last.pixels == last.all_pixels == sum(pixels for pixels, _ in items)
    assert last.seconds_left == 0
