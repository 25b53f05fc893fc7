"""Generators for the tests of the compute process and of the jobs: importable, quick, nasty."""

import gc
import os
import signal
import sys
import time
import warnings
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from napari_unet.engine.process.mailbox import Mailbox
from napari_unet.errors import InputError, UNetError


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """One step of a toy task."""

    index: int
    total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """An event with something heavy in it."""

    index: int
    segmenter: Any


class TwoWordsError(UNetError):
    """An error that pickle cannot make again from its arguments."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


class HomemadeWarning(UserWarning):
    """A warning category that is not built in."""


def count(total: int, seconds: float = 0.0) -> Iterator[Counted]:
    """Yield ``total`` events, with a pause before each."""
    for index in range(1, total + 1):
        time.sleep(seconds)
        yield Counted(index=index, total=total)


def touch_and_count(folder: str, total: int, seconds: float = 0.0) -> Iterator[Counted]:
    """Count, and note in a file each event that was made and that the generator was closed."""
    log = Path(folder, "log")
    try:
        for index in range(1, total + 1):
            time.sleep(seconds)
            with log.open("a") as file:
                file.write(f"{index}\n")
            yield Counted(index=index, total=total)
    finally:
        with log.open("a") as file:
            file.write("closed\n")


def process_id() -> Iterator[int]:
    """Tell which process this is, again and again."""
    while True:
        yield os.getpid()


def priority() -> Iterator[int]:
    """Tell how polite this process is."""
    yield os.nice(0)


def sleep_in_the_middle(seconds: float = 30.0, begun: str = "") -> Iterator[int]:
    """Yield the process, then compute without a yield; a file may say that this has begun."""
    yield os.getpid()
    if begun:
        Path(begun).touch()
    time.sleep(seconds)


def sleep_at_once(seconds: float = 30.0) -> Iterator[int]:
    """Compute for long before the first event."""
    time.sleep(seconds)
    yield os.getpid()


def multiply_for_ever(begun: str = "") -> Iterator[int]:
    """Keep torch busy without a yield; a file may say that this has begun."""
    import torch

    yield os.getpid()
    matrix = torch.rand(400, 400)
    if begun:
        Path(begun).touch()
    while True:
        matrix = torch.softmax(matrix @ matrix, 0)


def refuse_to_stop() -> Iterator[int]:
    """Go on computing when told to close."""
    try:
        yield os.getpid()
        time.sleep(0.05)
        yield os.getpid()
    finally:
        time.sleep(30)


def fail_while_closing(error: type[UNetError] = InputError) -> Iterator[int]:
    """Find out that the last file cannot be written."""
    try:
        while True:
            yield 0
    finally:
        raise error("the disk is full")


def fail(kind: str) -> Iterator[int]:
    """Yield once, then raise an exception of this kind."""
    yield 1
    raise make_error(kind)


def make_error(kind: str) -> Exception:
    """Return an exception as libraries and this package raise them."""
    if kind == "torch.OutOfMemoryError":
        import torch

        return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    if kind == "torch.AcceleratorError":
        import torch

        return getattr(torch, "AcceleratorError", RuntimeError)(
            "CUDA error: device-side assert triggered\nKernel errors"
        )
    errors = {
        "ValueError": ValueError("3 is not a crowd"),
        "RuntimeError": RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        "InputError": InputError("Paint at least one cell."),
        "TwoWordsError": TwoWordsError("two", "words"),
        "MemoryError": MemoryError(),
        "CUDA": RuntimeError("CUDA error: no kernel image is available for execution\nMore"),
        "cpu": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes."),
    }
    return errors[kind]


class Circle:
    """Something large that refers to itself, as errors and networks do."""

    made: ClassVar[list["weakref.ref[Circle]"]] = []

    def __init__(self) -> None:
        self.me = self
        self.made.append(weakref.ref(self))


def leave_a_circle() -> Iterator[int]:
    """Leave something behind that only a look at all there is finds."""
    circle = Circle()
    gc.collect()
    yield len(circle.made)


def count_circles() -> Iterator[int]:
    """Tell how many are still there."""
    yield sum(circle() is not None for circle in Circle.made)


def leak_stop_iteration() -> Iterator[int]:
    """Make the classic mistake in a generator."""
    yield 1
    yield next(iter([]))


def exit_with(code: int) -> Iterator[int]:
    """Leave as a crashing library does."""
    yield 1
    os._exit(code)


def kill_myself() -> Iterator[int]:
    """Die as the system's out-of-memory killer lets a process die."""
    yield 1
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(30)


def warn(times: int = 1) -> Iterator[int]:
    """Raise three kinds of warning."""
    for _ in range(times):
        warnings.warn("few labels", UserWarning, stacklevel=1)
        warnings.warn("slow device", RuntimeWarning, stacklevel=1)
        warnings.warn("homemade", HomemadeWarning, stacklevel=1)
    yield 1


def build_networks(segmenter: Any, times: int) -> Iterator[int]:
    """Use a network for the first time, again and again: yield how many modules that loaded."""
    from napari_unet.core.config import PredictConfig
    from napari_unet.engine.inference import segment

    for _ in range(times):
        before = set(sys.modules)
        segment(segmenter, np.zeros((40, 40), np.float32), PredictConfig(device="cpu"))
        yield len(set(sys.modules) - before)


def echo(*arrays: Any, **named: Any) -> Iterator[Any]:
    """Yield the arguments as they arrived, and whether they can be written to."""
    for array in [*arrays, *named.values()]:
        yield array, getattr(getattr(array, "flags", None), "writeable", None)


def fill(out: np.ndarray, value: int) -> Iterator[Counted]:
    """Write into an array of the caller, row by row."""
    for index in range(len(out)):
        out[index] = value + index
        yield Counted(index=index, total=len(out))


def learn(weights: Any, events: int, change_every: int) -> Iterator[Learned]:
    """Yield a new heavy object now and then, the same one in between."""
    best = weights
    for index in range(events):
        if index % change_every == 0:
            best = {"weights": weights["weights"] + index}
        yield Learned(index=index, segmenter=best)


def count_pickles(events: int) -> Iterator[Learned]:
    """Yield events that hold the same object, and say how often it was pickled so far."""
    heavy = Heavy(1000)
    for _ in range(events):
        yield Learned(index=Heavy.pickled, segmenter=heavy)


class Heavy:
    """Counts, per process, how often it was pickled."""

    pickled = 0

    def __init__(self, size: int) -> None:
        self.data = bytes(size)

    def __reduce__(self) -> Any:
        Heavy.pickled += 1
        return Heavy, (len(self.data),)


def chatter() -> Iterator[int]:
    """Write to standard output in every way that could disturb a stream on it."""
    print("a stray print", flush=True)  # noqa: T201
    os.write(1, b"\x00" * 64)
    sys.__stdout__.write("more") if sys.__stdout__ else None
    yield len(sys.stdin.read())


def leave_mail(mailbox: Mailbox) -> Iterator[int]:  # noqa: ARG001
    """Never look into the mailbox."""
    yield from process_id()


def repeat_mail(mailbox: Mailbox, wanted: int) -> Iterator[Any]:
    """Yield what comes into the mailbox, until enough has come."""
    echoed = 0
    while echoed < wanted:
        for message in mailbox.take():
            echoed += 1
            yield message
        time.sleep(0.01)


def write_into_mailed(mailbox: Mailbox) -> Iterator[str]:
    """Write sevens into the first array that comes."""
    while not (arrays := mailbox.take()):
        time.sleep(0.01)
    arrays[0][...] = 7
    yield "written"


def read_regions(image: Any, *indices: Any) -> Iterator[Any]:
    """Yield regions of an image."""
    for index in indices:
        yield image[index]


def read_all(image: Any) -> Iterator[Any]:
    """Yield an image as an array, and what it says of itself."""
    yield np.asarray(image), image.shape, image.dtype


def read_and_note(image: Any, folder: str) -> Iterator[int]:
    """Read after the first event; note in a file how that went, and that the end was reached."""
    log = Path(folder, "log")
    try:
        yield os.getpid()
        image[:, :1, :1]
        log.write_text("read\n")
    except Exception as error:
        log.write_text(f"{type(error).__name__}\n")
        raise
    finally:
        with log.open("a") as file:
            file.write("closed\n")


def read_and_repeat_mail(image: Any, mailbox: Mailbox, total: int) -> Iterator[Any]:
    """Read a pixel before each event, and yield it with what came into the mailbox meanwhile."""
    for index in range(total):
        x = slice(index % image.shape[2], index % image.shape[2] + 1)
        yield int(image[:, :1, x][0, 0, 0]), mailbox.take()
