"""What is put into a mailbox reaches its run, and only that one, however long it takes to make."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import toy_tasks

from napari_unet.engine.host import Host
from napari_unet.engine.process.mailbox import Mailbox
from napari_unet.errors import InputError

HANG = 20.0
"""Seconds that a read hangs; half of it tells who waited, also on a busy machine."""
PIXEL = np.zeros((1, 1, 1), np.uint8)


@pytest.fixture
def host() -> Iterator[Host]:
    """A compute process that imports nothing up front."""
    with Host(warm_up=()) as host:
        yield host


class Late:
    """A message that is made when a disk answers."""

    def __init__(self) -> None:
        self.answered = threading.Event()

    def __call__(self) -> str:
        """Wait for the disk."""
        self.answered.wait(HANG)
        return "late"


@pytest.fixture
def late() -> Iterator[Late]:
    """A message whose disk answers at the end of the test, or before."""
    message = Late()
    yield message
    message.answered.set()


def test_what_was_put_before_the_run_is_there_at_its_first_look(host: Host) -> None:
    """Every time: the first tile of a segmentation is the one in view."""
    for number in range(40):
        mailbox = Mailbox()
        mailbox.put(lambda number=number: number)
        assert list(host.run(toy_tasks.read_and_repeat_mail, PIXEL, mailbox, 1)) == [(0, [number])]


def test_a_run_goes_on_and_stops_while_a_message_is_made(host: Host, late: Late) -> None:
    """And gets it once it is made."""
    mailbox, stop = Mailbox(), threading.Event()
    mailbox.put(late)
    events = host.run(toy_tasks.read_and_repeat_mail, PIXEL, mailbox, 10**6, stop=stop)
    assert [next(events)[1] for _ in range(100)] == [[]] * 100
    late.answered.set()
    assert next(mail for _, mail in events if mail) == ["late"]

    late.answered.clear()
    mailbox.put(late)
    time.sleep(0.2)
    next(events)
    start = time.monotonic()
    stop.set()
    assert not any(mail for _, mail in events)
    assert time.monotonic() - start < HANG / 2


def test_a_message_that_was_made_too_late_does_not_reach_the_next_run(
    host: Host, late: Late
) -> None:
    """Which may be about other images."""
    first, second, stop = Mailbox(), Mailbox(), threading.Event()
    first.put(late)
    events = host.run(toy_tasks.read_and_repeat_mail, PIXEL, first, 10**6, stop=stop)
    next(events)
    stop.set()
    assert list(events) == []

    threading.Timer(0.2, late.answered.set).start()
    threading.Timer(0.5, lambda: second.put("mine")).start()
    assert list(host.run(toy_tasks.repeat_mail, second, 1)) == ["mine"]


def test_a_message_that_cannot_be_made_fails_the_run(host: Host) -> None:
    """With its own error."""

    def broken() -> None:
        raise InputError("The pixels of layer 'embryo' could not be read.")

    mailbox = Mailbox()
    mailbox.put(broken)
    with pytest.raises(InputError, match="'embryo' could not be read"):
        list(host.run(toy_tasks.repeat_mail, mailbox, 1))
    assert [event.index for event in host.run(toy_tasks.count, 1)] == [1]
