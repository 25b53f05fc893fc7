"""Small computations beside the viewer: the newest question wins, also while a job runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import toy_tasks
from napari.layers import Labels
from napari.utils.notifications import notification_manager

from napari_unet.engine.host import Host
from napari_unet.viewer.background import Background
from napari_unet.viewer.learning.doubts import ask_doubt, doubt_about, fullest_plane


@pytest.fixture
def background(qtbot: Any) -> Iterator[Background]:  # noqa: ARG001 (Qt's loop)
    """One with a process of its own that imports nothing up front."""
    background = Background(Host(warm_up=()))
    yield background
    background.close()


def test_events_come_in_order_on_the_main_thread(background: Background, qtbot: Any) -> None:
    """And then it is idle."""
    heard: list[int] = []
    background.ask("count", toy_tasks.count, 5, on_event=lambda e: heard.append(e.index))
    assert background.busy
    qtbot.wait_until(lambda: not background.busy, timeout=100_000)
    qtbot.wait(20)
    assert heard == [1, 2, 3, 4, 5]


def test_the_newest_question_of_a_kind_is_answered(background: Background, qtbot: Any) -> None:
    """The ones before it are dropped in the middle, and those of other kinds are not."""
    heard: list[tuple[str, int]] = []
    for name, total in (("old", 1000), ("older", 1000), ("new", 3)):
        background.ask(
            "slider", toy_tasks.count, total, 0.01,
            on_event=lambda e, name=name: heard.append((name, e.index)),
        )  # fmt: skip
        background.ask(
            name, toy_tasks.count, 2, on_event=lambda e, name=name: heard.append((name, e.index))
        )
    qtbot.wait_until(lambda: ("new", 3) in heard, timeout=100_000)
    qtbot.wait_until(lambda: not background.busy, timeout=100_000)
    qtbot.wait(20)
    assert {pair for pair in heard if pair[0] == "older"} == {("older", 1), ("older", 2)}
    assert [pair for pair in heard if pair[0] == "new"].count(("new", 3)) == 1


def test_a_cancelled_question_is_not_heard_of_again(background: Background, qtbot: Any) -> None:
    """Not even of an event that was on its way."""
    heard: list[int] = []
    background.ask("count", toy_tasks.count, 500, 0.01, on_event=lambda e: heard.append(e.index))
    qtbot.wait_until(lambda: len(heard) > 2, timeout=100_000)
    background.cancel("count")
    count = len(heard)
    qtbot.wait_until(lambda: not background.busy, timeout=100_000)
    assert len(heard) == count


@pytest.mark.parametrize("how", ["cancelled", "asked anew", "closed"])
def test_an_answer_that_is_on_its_way_is_not_heard_either(
    background: Background, qtbot: Any, how: str
) -> None:
    """The thread is done with it, and the main thread has not heard it yet."""
    heard: list[str] = []
    background.ask("count", toy_tasks.count, 1, on_event=lambda _: heard.append("old"))
    while background.busy:
        time.sleep(0.01)
    if how == "cancelled":
        background.cancel("count")
    elif how == "closed":
        background.close()
    else:
        background.ask("count", toy_tasks.count, 1, on_event=lambda _: heard.append("new"))
    qtbot.wait_until(lambda: not background.busy, timeout=10_000)
    qtbot.wait(50)
    assert heard == ["new"] * (how == "asked anew")


def test_an_error_is_told_once_and_the_next_question_is_answered(
    background: Background, qtbot: Any
) -> None:
    """In one sentence, as a notification."""
    notification_manager.records.clear()
    background.ask("bad", toy_tasks.sleep_at_once, "no number", on_event=pytest.fail)
    heard: list[int] = []
    background.ask("good", toy_tasks.count, 1, on_event=lambda e: heard.append(e.index))
    qtbot.wait_until(lambda: heard == [1], timeout=100_000)
    (record,) = notification_manager.records
    assert "TypeError" in record.message


def test_a_question_that_cannot_be_sent_is_told_and_the_next_one_is_answered(
    background: Background, qtbot: Any
) -> None:
    """A lock cannot be pickled; whoever asked hears that no answer comes, after the user."""
    notification_manager.records.clear()
    lost: list[int] = []
    background.ask(
        "bad", toy_tasks.count, threading.Lock(), on_event=pytest.fail,
        on_lost=lambda: lost.append(len(notification_manager.records)),
    )  # fmt: skip
    heard: list[int] = []
    background.ask("good", toy_tasks.count, 1, on_event=lambda e: heard.append(e.index))
    qtbot.wait_until(lambda: heard == [1], timeout=100_000)
    qtbot.wait_until(lambda: not background.busy, timeout=100_000)
    (record,) = notification_manager.records
    assert record.message.startswith("A computation in the background failed: TypeError: ")
    assert lost == [1]


def test_a_question_that_was_dropped_is_not_lost(background: Background, qtbot: Any) -> None:
    """Whoever asks anew, or cancels, waits for nothing; what is answered is not lost either."""
    lost: list[str] = []
    heard: list[int] = []
    for name, key in (("asked anew", "a"), ("cancelled", "b"), ("answered", "a")):
        background.ask(
            key, toy_tasks.count, 1, on_event=lambda e: heard.append(e.index),
            on_lost=lambda name=name: lost.append(name),
        )  # fmt: skip
    background.cancel("b")
    qtbot.wait_until(lambda: heard == [1] and not background.busy, timeout=100_000)
    qtbot.wait(20)
    assert lost == []


def test_closing_ends_the_process(qtbot: Any) -> None:
    """Also in the middle of a computation that does not yield."""
    pids: list[int] = []
    background = Background(Host(warm_up=()))
    background.ask("sleep", toy_tasks.sleep_in_the_middle, on_event=pids.append)
    qtbot.wait_until(lambda: bool(pids), timeout=100_000)
    with qtbot.assert_not_emitted(background._messenger.destroyed, wait=0):
        background.close()
    background.close()
    background.ask("late", toy_tasks.count, 1, on_event=pytest.fail)
    assert not background.busy


def test_a_doubt_is_judged_by_what_was_painted_when_it_was_asked(
    background: Background, qtbot: Any
) -> None:
    """And not by half a stroke, though the question waits for its turn."""
    layer = Labels(np.zeros((60, 80), np.uint8))
    layer.data[20:30, 20:30] = 1
    (plane,) = fullest_plane(layer)
    expected, heard = doubt_about(layer), []
    background.ask("other", toy_tasks.count, 1, on_event=lambda _: None)
    ask_doubt(background, layer, plane, False, heard.append)
    layer.data[20:30, 20:30] = 0
    qtbot.wait_until(lambda: bool(heard), timeout=100_000)

    assert expected is not None
    assert heard == [expected]
