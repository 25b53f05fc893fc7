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


def test_what_an_earlier_run_did_tells_nothing_of_the_speed() -> None:
    """Or a slide of which nine tenths were there would be done in a second, for hours."""
    pace = Pace(1)
    pace.expect(0, 100)
    pace.begin()
    pace.know(0, 0.9)
    before = pace.now()
    pace.reach(0, 0.95)
    after = pace.now()

    assert (before.pixels, before.pixels_per_second, before.seconds_left) == (90, 0.0, None)
    assert after.pixels == 95
    assert after.seconds_left == 5 / after.pixels_per_second
