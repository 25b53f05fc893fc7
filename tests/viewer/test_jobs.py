"""Jobs in a real viewer, with threads and with the compute process."""

import gc
import logging
import os
import signal
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import toy_tasks
from napari.utils import progress
from napari.utils.notifications import notification_manager
from napari.viewer import current_viewer
from qtpy.QtCore import QThreadPool, QTimer

from napari_unet.engine.host import Host
from napari_unet.errors import InputError, JobError
from napari_unet.viewer.jobs import Jobs
from napari_unet.viewer.worker import EventWorker

END_SECONDS = 20.0  # less than the half minute that a task takes which is not stopped

in_a_window = pytest.mark.parametrize("viewer", ["window"], indirect=True)


@pytest.fixture
def host() -> Iterator[Host]:
    """A host that imports nothing up front."""
    with Host(warm_up=()) as host:
        yield host


@pytest.fixture
def jobs(viewer: Any, qtbot: Any) -> Iterator[Jobs]:  # noqa: ARG001 (the slots need a Qt loop)
    """The jobs of that viewer."""
    jobs = Jobs(viewer)
    yield jobs
    jobs.close()


class Diary:
    """Writes down what becomes of jobs, and in which state it was told."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self.events: list[Any] = []
        self.ends: list[tuple[str, str]] = []
        self.errors: list[Exception] = []
        self.threads: set[threading.Thread] = set()
        jobs.done.connect(self.on_done)
        jobs.stopped.connect(self.on_stopped)
        jobs.failed.connect(self.on_failed)

    def on_event(self, event: Any) -> None:
        """Take an event."""
        self.threads.add(threading.current_thread())
        self.events.append(event)

    def on_done(self) -> None:
        """Take the end of a job."""
        self.ends.append(("done", self.jobs.state))

    def on_stopped(self) -> None:
        """Take the end of a job."""
        self.ends.append(("stopped", self.jobs.state))

    def on_failed(self, error: Exception) -> None:
        """Take the end of a job."""
        self.errors.append(error)
        self.ends.append(("failed", self.jobs.state))


@pytest.fixture
def diary(jobs: Jobs) -> Diary:
    """What becomes of the jobs."""
    return Diary(jobs)


@pytest.fixture(autouse=True)
def _no_bar_is_left() -> Iterator[None]:
    """Whatever happens to a job, its progress bar is closed."""
    yield
    assert not progress._all_instances


def messages(since: int = 0) -> list[tuple[str, str]]:
    """Return napari's notifications."""
    return [(str(n.severity), n.message) for n in notification_manager.records[since:]]


@pytest.fixture(autouse=True)
def _fresh_notifications() -> None:
    """Forget what other tests were told."""
    notification_manager.records.clear()


def wait_for_end(qtbot: Any, diary: Diary) -> None:
    """Run the event loop until a job ended and a little longer."""
    qtbot.wait_until(lambda: bool(diary.ends), timeout=int(1000 * END_SECONDS))
    qtbot.wait(30)


def in_thread(task: Callable[..., Iterator[Any]], *args: Any) -> Callable[..., Iterator[Any]]:
    """Run a toy task right in the worker's thread."""
    return lambda stop: task(*args)  # noqa: ARG005


@in_a_window
def test_a_job_delivers_its_events_in_order_on_the_main_thread(
    jobs: Jobs, diary: Diary, qtbot: Any, host: Host
) -> None:
    """Then it is done, and idle, exactly once."""
    titles: list[str] = []
    heard: list[Any] = []
    jobs.started.connect(titles.append)
    jobs.event.connect(heard.append)
    assert jobs.state == "idle"
    jobs.start(
        "Counting",
        lambda stop: host.run(toy_tasks.count, 1000, stop=stop),
        on_event=diary.on_event,
        fraction=lambda event: event.index / event.total,
    )
    assert jobs.state == "running"
    wait_for_end(qtbot, diary)

    assert [event.index for event in diary.events] == list(range(1, 1001))
    assert heard == diary.events
    assert diary.threads == {threading.main_thread()}
    assert diary.ends == [("done", "idle")]
    assert titles == ["Counting"]
    assert messages() == []


def test_a_job_in_a_thread_needs_no_process(jobs: Jobs, diary: Diary, qtbot: Any) -> None:
    """Any generator will do, and one job can follow another."""
    for _ in range(2):
        diary.ends.clear()
        jobs.start("Counting", in_thread(toy_tasks.count, 3), on_event=diary.on_event)
        wait_for_end(qtbot, diary)
        assert diary.ends == [("done", "idle")]

    assert [event.index for event in diary.events] == [1, 2, 3, 1, 2, 3]


@pytest.mark.parametrize("kind", ["ValueError", "RuntimeError", "torch.OutOfMemoryError"])
@pytest.mark.parametrize("where", ["thread", "process"])
def test_every_error_ends_the_job_as_failed(
    jobs: Jobs,
    diary: Diary,
    qtbot: Any,
    host: Host,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    where: str,
) -> None:
    """RuntimeErrors too; the user reads a sentence, the log has the traceback."""
    error = toy_tasks.make_error(kind)
    events = {
        "thread": in_thread(toy_tasks.fail, kind),
        "process": lambda stop: host.run(toy_tasks.fail, kind, stop=stop),
    }[where]
    jobs.start("Training", events, on_event=diary.on_event)
    wait_for_end(qtbot, diary)

    assert diary.ends == [("failed", "idle")]
    assert str(error) in str(diary.errors[0])
    ((severity, message),) = messages()
    assert severity == "error"
    assert str(error) in message
    assert "Traceback" not in message
    assert "in fail\n" in caplog.text


def test_an_error_of_ours_is_shown_as_it_is(
    jobs: Jobs, diary: Diary, qtbot: Any, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    """What the user can mend needs no traceback anywhere."""
    jobs.start(
        "Training",
        lambda stop: host.run(toy_tasks.fail, "InputError", stop=stop),
        on_event=diary.on_event,
    )
    wait_for_end(qtbot, diary)

    assert isinstance(diary.errors[0], InputError)
    assert messages() == [("error", "Paint at least one cell.")]
    assert caplog.text == ""


def test_a_generator_that_cannot_even_be_made_fails_the_job(
    jobs: Jobs, diary: Diary, qtbot: Any
) -> None:
    """The callable is called in the thread; its error is not lost."""
    jobs.start("Training", lambda stop: 1 / 0, on_event=diary.on_event)  # type: ignore[arg-type]  # noqa: ARG005
    wait_for_end(qtbot, diary)

    assert diary.ends == [("failed", "idle")]
    assert isinstance(diary.errors[0], ZeroDivisionError)


def test_an_error_in_what_is_done_with_an_event_fails_the_job(
    jobs: Jobs, diary: Diary, qtbot: Any, host: Host
) -> None:
    """The generator is stopped; no second event is handed out."""
    seen = []

    def break_down(event: toy_tasks.Counted) -> None:
        seen.append(event)
        raise KeyError("layer")

    jobs.start(
        "Training", lambda stop: host.run(toy_tasks.process_id, stop=stop), on_event=break_down
    )
    wait_for_end(qtbot, diary)

    assert diary.ends == [("failed", "idle")]
    assert isinstance(diary.errors[0], KeyError)
    assert len(seen) == 1


def test_an_error_in_a_listener_fails_the_job_by_its_own_name(
    jobs: Jobs, diary: Diary, qtbot: Any
) -> None:
    """And not as the wrapping of the signal library."""
    jobs.event.connect(lambda event: event.no_such_thing)
    jobs.start("Training", in_thread(toy_tasks.process_id), on_event=diary.on_event)
    wait_for_end(qtbot, diary)

    assert isinstance(diary.errors[0], AttributeError)


@pytest.mark.parametrize(
    ("task", "delay"),
    [
        (toy_tasks.process_id, 0.0),
        (toy_tasks.process_id, 0.3),
        (toy_tasks.sleep_at_once, 0.2),
        (toy_tasks.sleep_in_the_middle, 0.4),
        (toy_tasks.refuse_to_stop, 0.4),
    ],
)
def test_a_stop_gets_through_at_every_stage(
    jobs: Jobs,
    diary: Diary,
    qtbot: Any,
    host: Host,
    task: Callable[..., Iterator[int]],
    delay: float,
) -> None:
    """Before the first event, between events, inside a long computation, inside its cleanup."""
    jobs.start("Training", lambda stop: host.run(task, stop=stop), on_event=diary.on_event)
    if delay:
        qtbot.wait(int(1000 * delay))
    jobs.stop()
    known = len(diary.events)

    wait_for_end(qtbot, diary)
    assert diary.ends == [("stopped", "idle")]
    assert len(diary.events) == known, "nothing is handed out after a stop"
    assert messages() == []


def test_a_stop_closes_the_generator_in_the_thread(jobs: Jobs, diary: Diary, qtbot: Any) -> None:
    """Its finally-block has run when the job is reported as stopped."""
    closed_in: list[threading.Thread] = []

    def forever(stop: threading.Event) -> Iterator[int]:
        try:
            while True:
                stop.wait(0.01)
                yield 1
        finally:
            closed_in.append(threading.current_thread())

    jobs.start("Training", forever, on_event=diary.on_event)
    qtbot.wait_until(lambda: bool(diary.events))
    jobs.stop()
    jobs.stop()
    wait_for_end(qtbot, diary)

    assert diary.ends == [("stopped", "idle")]
    assert len(closed_in) == 1
    assert closed_in != [threading.main_thread()]


def test_an_error_while_a_stopped_job_is_closed_is_told(
    jobs: Jobs, diary: Diary, qtbot: Any
) -> None:
    """It may be the only word about a file that was not written."""
    jobs.start("Training", in_thread(toy_tasks.fail_while_closing), on_event=diary.on_event)
    qtbot.wait_until(lambda: bool(diary.events))
    jobs.stop()
    wait_for_end(qtbot, diary)

    assert diary.ends == [("failed", "idle")]
    assert messages() == [("error", "the disk is full")]


def test_stopping_when_nothing_runs_does_nothing(jobs: Jobs, diary: Diary, qtbot: Any) -> None:
    """A late click on Stop is harmless."""
    jobs.stop()
    qtbot.wait(20)

    assert diary.ends == []


def test_a_second_job_is_refused_by_name(jobs: Jobs, diary: Diary, qtbot: Any) -> None:
    """The first one goes on undisturbed."""
    jobs.start("Training", in_thread(toy_tasks.count, 5, 0.02), on_event=diary.on_event)
    with pytest.raises(JobError, match=r"^Training is still running; stop it or wait"):
        jobs.start("Segmenting", in_thread(toy_tasks.count, 5), on_event=diary.on_event)
    wait_for_end(qtbot, diary)

    assert diary.ends == [("done", "idle")]
    assert len(diary.events) == 5


@in_a_window
def test_the_next_job_can_start_from_the_end_of_one(
    jobs: Jobs, diary: Diary, qtbot: Any, host: Host
) -> None:
    """The state is idle before the signal, so training can be followed by segmenting."""

    def follow() -> None:
        if len(diary.ends) == 1:
            jobs.start(
                "Segmenting",
                lambda stop: host.run(toy_tasks.count, 2, stop=stop),
                on_event=diary.on_event,
            )

    jobs.done.connect(follow)
    jobs.start(
        "Training",
        lambda stop: host.run(toy_tasks.count, 2, stop=stop),
        on_event=diary.on_event,
    )
    qtbot.wait_until(lambda: len(diary.ends) == 2)

    assert [event.index for event in diary.events] == [1, 2, 1, 2]


@pytest.mark.skipif(os.name != "posix", reason="kills with POSIX signals")
def test_a_killed_process_fails_the_job_and_not_the_next_one(
    jobs: Jobs, diary: Diary, qtbot: Any, host: Host
) -> None:
    """One sentence is shown, and the next job starts a new process."""

    def run(stop: threading.Event) -> Iterator[int]:
        return host.run(toy_tasks.sleep_in_the_middle, stop=stop)

    jobs.start("Training", run, on_event=lambda pid: os.kill(pid, signal.SIGKILL))
    wait_for_end(qtbot, diary)
    ((severity, message),) = messages()

    assert diary.ends == [("failed", "idle")]
    assert severity == "error"
    assert "painted labels are untouched" in message
    diary.ends.clear()
    jobs.start(
        "Training",
        lambda stop: host.run(toy_tasks.count, 2, stop=stop),
        on_event=diary.on_event,
    )
    wait_for_end(qtbot, diary)
    assert diary.ends == [("done", "idle")]


@pytest.mark.parametrize("where", ["thread", "process"])
def test_warnings_are_shown_once_each(
    jobs: Jobs, diary: Diary, qtbot: Any, host: Host, where: str
) -> None:
    """As napari's warnings, from the thread and from the process."""
    events = {
        "thread": in_thread(toy_tasks.warn, 3),
        "process": lambda stop: host.run(toy_tasks.warn, 3, stop=stop),
    }[where]
    jobs.start("Training", events, on_event=diary.on_event)
    wait_for_end(qtbot, diary)

    assert messages() == [
        ("warning", "few labels"),
        ("warning", "slow device"),
        ("warning", "homemade"),
    ]
    assert diary.ends == [("done", "idle")]


def test_warnings_for_programmers_go_to_the_log(
    jobs: Jobs, diary: Diary, qtbot: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A biologist can do nothing about a deprecation in a library."""

    def deprecated(stop: threading.Event) -> Iterator[int]:  # noqa: ARG001
        warnings.warn("old style", DeprecationWarning, stacklevel=1)
        yield 1

    with caplog.at_level(logging.WARNING):
        jobs.start("Training", deprecated, on_event=diary.on_event)
        wait_for_end(qtbot, diary)

    assert messages() == []
    assert "DeprecationWarning: old style" in caplog.text


@in_a_window
def test_the_progress_bar_follows_the_fraction(jobs: Jobs, diary: Diary, qtbot: Any) -> None:
    """In per cent, under the job's title, for as long as the job runs."""
    seen: list[tuple[str, int, int]] = []

    def look(event: toy_tasks.Counted) -> None:
        (bar,) = progress._all_instances
        seen.append((bar.desc.strip(" :"), bar.n, bar.total))
        diary.on_event(event)

    jobs.start(
        "Training",
        in_thread(toy_tasks.count, 4, 0.6),
        on_event=look,
        fraction=lambda event: event.index / event.total,
    )
    wait_for_end(qtbot, diary)

    assert seen == [("Training", n, 100) for n in (0, 25, 50, 75)]


def test_the_generator_waits_for_a_slow_viewer(jobs: Jobs, diary: Diary, qtbot: Any) -> None:
    """Events do not pile up while the main thread is busy, and the end still gets through."""
    made = []
    closed = threading.Event()

    def produce(stop: threading.Event) -> Iterator[int]:  # noqa: ARG001
        try:
            for index in range(10_000):
                made.append(index)
                yield index
        finally:
            closed.set()

    jobs.start("Training", produce, on_event=diary.on_event)
    qtbot.wait_until(lambda: bool(diary.events))
    ahead = len(made)
    time.sleep(0.3)  # the main thread is busy painting

    assert len(made) - ahead <= 34
    jobs.close()
    assert closed.is_set()
    assert diary.ends == [("stopped", "idle")]


@in_a_window
@pytest.mark.parametrize(
    ("how", "task"),
    [
        ("viewer.close()", toy_tasks.process_id),
        ("viewer.close()", toy_tasks.sleep_in_the_middle),
        ("a click on the cross", toy_tasks.sleep_in_the_middle),
    ],
)
def test_closing_the_viewer_stops_the_job(
    viewer: Any,
    jobs: Jobs,
    diary: Diary,
    qtbot: Any,
    host: Host,
    how: str,
    task: Callable[..., Iterator[int]],
) -> None:
    """Without a deadlock, however the viewer is closed."""
    jobs.start("Training", lambda stop: host.run(task, stop=stop), on_event=diary.on_event)
    qtbot.wait_until(lambda: bool(diary.events), timeout=100_000)
    if how == "viewer.close()":
        viewer.close()
    else:
        viewer.window._qt_window.close()
        del viewer.window._qt_window  # which the fixture would close once more
    known = len(diary.events)
    qtbot.wait_until(lambda: bool(diary.ends), timeout=100_000)

    assert diary.ends == [("stopped", "idle")]
    qtbot.wait(50)
    assert diary.ends == [("stopped", "idle")]
    assert len(diary.events) == known
    with pytest.raises(JobError, match="viewer is closed"):
        jobs.start("Training", in_thread(toy_tasks.count, 1), on_event=diary.on_event)


@in_a_window
def test_closing_another_viewer_leaves_the_job_alone(
    jobs: Jobs, diary: Diary, qtbot: Any, host: Host, make_napari_viewer: Any
) -> None:
    """Although that one was in front when the job started, as one may that starts by itself."""
    other = make_napari_viewer()
    assert current_viewer() is other
    jobs.start(
        "Segmenting",
        lambda stop: host.run(toy_tasks.count, 200, 0.01, stop=stop),
        on_event=diary.on_event,
    )
    qtbot.wait_until(lambda: bool(diary.events), timeout=100_000)
    assert not other.window._task_status_manager.is_busy()
    other.close()
    wait_for_end(qtbot, diary)

    assert diary.ends == [("done", "idle")]
    assert len(diary.events) == 200


def test_closing_right_after_starting_does_not_wait(
    jobs: Jobs, diary: Diary, qtbot: Any, host: Host
) -> None:
    """The thread may not even have begun."""
    jobs.start(
        "Training", lambda stop: host.run(toy_tasks.process_id, stop=stop), on_event=diary.on_event
    )
    jobs.close()

    assert diary.ends == [("stopped", "idle")]
    qtbot.wait(50)
    assert (diary.events, len(diary.ends)) == ([], 1)


@in_a_window
def test_a_viewer_that_closes_while_a_job_is_made_starts_none(jobs: Jobs, diary: Diary) -> None:
    """Napari handles events while it makes a progress bar; one of them may close the window."""
    begun, titles = [], []
    jobs.started.connect(titles.append)
    QTimer.singleShot(0, jobs.close)
    jobs.start("Training", lambda stop: iter([begun.append(stop)]), on_event=diary.on_event)

    assert diary.ends == [("stopped", "idle")]
    assert not progress._all_instances
    assert QThreadPool.globalInstance().waitForDone(10_000)
    assert (begun, titles) == ([], [])


def test_a_closed_viewer_hears_nothing_more(jobs: Jobs, diary: Diary, qtbot: Any) -> None:
    """Neither of the event that was being handled, nor of a failure while all is put away."""
    heard: list[Any] = []
    jobs.event.connect(heard.append)

    def close(event: int) -> None:
        diary.on_event(event)
        jobs.close()

    jobs.start("Training", in_thread(toy_tasks.fail_while_closing), on_event=close)
    wait_for_end(qtbot, diary)

    assert diary.ends == [("failed", "idle")]
    assert (diary.events, heard, messages()) == ([0], [], [])


@in_a_window
def test_napari_knows_of_a_running_job(viewer: Any, jobs: Jobs, diary: Diary, qtbot: Any) -> None:
    """So it asks before it closes a busy window; the list shows the title."""
    tasks = viewer.window._task_status_manager
    jobs.start("Training", in_thread(toy_tasks.count, 3, 0.05), on_event=diary.on_event)
    qtbot.wait_until(lambda: bool(diary.events))
    (status,) = tasks.get_status()
    assert "Executing Training" in status
    wait_for_end(qtbot, diary)

    assert not tasks.is_busy()


@in_a_window
def test_a_job_that_ended_keeps_no_images(jobs: Jobs, diary: Diary, qtbot: Any) -> None:
    """Napari's list of tasks keeps the worker for as long as the viewer is open."""
    image = np.zeros(1000)
    alive = weakref.ref(image)

    def work(stop: threading.Event, image: np.ndarray = image) -> Iterator[int]:  # noqa: ARG001
        yield image.size

    jobs.start("Training", work, on_event=diary.on_event)
    del work, image
    wait_for_end(qtbot, diary)
    gc.collect()

    assert diary.events == [1000]
    assert alive() is None


@pytest.mark.parametrize("stop", [False, True])
def test_the_worker_speaks_napari_s_language(qtbot: Any, stop: bool) -> None:
    """Its signals are those of a generator worker: aborted or returned, then finished."""
    worker = EventWorker(in_thread(toy_tasks.count, 20, 0.01))
    heard: list[str] = []
    for name in ("started", "returned", "aborted", "errored", "finished"):
        getattr(worker, name).connect(lambda *_, name=name: heard.append(name))
    with qtbot.wait_signal(worker.yielded):
        worker.start()
    if stop:
        worker.quit()
    qtbot.wait_until(lambda: "finished" in heard)

    assert heard == ["started", "aborted" if stop else "returned", "finished"]
