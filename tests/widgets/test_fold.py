"""Parts of the dock that can be folded away."""

from collections.abc import Callable
from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QCursor

from napari_unet.widgets.fold import Fold
from napari_unet.widgets.parts import button, sentence, stack
from napari_unet.widgets.scroll import Scroll
from napari_unet.widgets.telling import tell


def test_what_is_unfolded_is_scrolled_to(qtbot: Any) -> None:
    """The dock is higher than most screens; of what is too high, the top is shown."""
    folds = [
        Fold(f"Part {n}", "", stack(*(button(f"{n}.{i}", "") for i in range(size))))
        for n, size in enumerate((6, 6, 5, 40))
    ]
    scroll = Scroll(stack(*(fold.widget for fold in folds)))
    qtbot.add_widget(scroll)
    scroll.resize(300, 250)
    scroll.show()

    def click_and_wait(fold: Fold, shown: Callable[[int, int], bool]) -> None:
        part = fold.widget.native

        def is_shown() -> bool:
            top = part.mapTo(scroll.viewport(), part.rect().topLeft()).y()
            return shown(top, top + part.height())

        assert not is_shown()
        qtbot.mouseClick(fold._button.native, Qt.MouseButton.LeftButton)
        qtbot.wait_until(is_shown, timeout=100_000)

    for fold in folds[:2]:
        fold.toggle()
    qtbot.wait(50)
    click_and_wait(folds[2], lambda _, bottom: bottom <= scroll.viewport().height())
    click_and_wait(folds[3], lambda top, _: 0 <= top < 10)


def test_a_longer_sentence_is_scrolled_to_its_end(qtbot: Any) -> None:
    """The dock says one thing after the other in the same place: all of each is seen."""
    said = sentence()
    above = stack(*(button(f"Above {n}", "") for n in range(20)))
    below = stack(*(button(f"Below {n}", "") for n in range(20)))
    scroll = Scroll(stack(above, stack(button("Next", ""), said), below))
    qtbot.add_widget(scroll)
    scroll.resize(300, 250)
    scroll.show()

    def is_seen() -> bool:
        native = said.native
        bottom = native.mapTo(scroll.viewport(), native.rect().bottomLeft()).y()
        is_whole = native.height() >= native.heightForWidth(native.width())
        return is_whole and 0 < bottom < scroll.viewport().height()

    for text in ("Short.", "Much longer, so that it takes several lines. " * 4):
        tell(said, text)
        qtbot.wait_until(is_seen, timeout=100_000)


@pytest.mark.parametrize("which", [0, 2])
def test_a_sentence_that_comes_and_goes_moves_nothing_under_the_mouse(
    qtbot: Any, which: int
) -> None:
    """Or a click would meet the button below, or that above."""
    said = sentence()
    content = stack(button("New", ""), said, *(button(f"Below {n}", "") for n in range(20)))
    scroll = Scroll(content)
    qtbot.add_widget(scroll)
    scroll.resize(300, 250)
    scroll.show()
    said.visible = False
    qtbot.wait(50)
    native = content[which].native
    QCursor.setPos(native.mapToGlobal(native.rect().center()))
    place = native.mapToGlobal(native.rect().center())
    for text in ("You are looking at another layer, and not at this one: choose it. " * 3, ""):
        said.value, said.visible = text, bool(text)
        qtbot.wait(50)
        assert said.native.isVisible() == bool(text)
        assert native.mapToGlobal(native.rect().center()) == place
