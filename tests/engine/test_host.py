"""Real processes, real kills: what the compute process promises its callers."""

import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import toy_tasks
from small_things import make_segmenter

from napari_unet.engine.host import Host
from napari_unet.engine.process.mailbox import Mailbox
from napari_unet.engine.process.shared_memory import SharedArray
from napari_unet.errors import DeviceError, InputError, JobError, UNetError

posix = pytest.mark.skipif(os.name != "posix", reason="kills with POSIX signals")
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /dev/shm and /proc")


@pytest.fixture
def host() -> Iterator[Host]:
    """A host that imports nothing up front, closed after the test."""
    with Host(warm_up=()) as host:
        yield host


def gone(pid: int, within: float = 20.0) -> bool:
    """Whether the process ends within this time."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            state = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


def blocks_of(pid: int | str = "self") -> set[Path]:
    """The shared memory that a process has mapped; others may use the machine too."""
    maps = Path("/proc", str(pid), "maps").read_text()
    return {Path(name) for name in re.findall(r"/dev/shm/psm_\w+", maps)}


def test_a_thousand_events_arrive_in_order(host: Host) -> None:
    """Every event arrives once, in the order it was yielded in."""
    events = list(host.run(toy_tasks.count, 1000))

    assert events == [toy_tasks.Counted(index=i, total=1000) for i in range(1, 1001)]


def test_the_function_runs_in_one_child_that_is_kept(host: Host) -> None:
    """Runs share a process, and it is not this one."""
    pids = set()
    for _ in range(3):
        with closing(host.run(toy_tasks.process_id)) as run:
            pids.add(next(run))

    assert len(pids) == 1
    assert pids != {os.getpid()}


def test_what_a_run_leaves_takes_no_memory_in_the_next_one(host: Host) -> None:
    """The process is kept; tensors that refer to each other are not."""
    assert list(host.run(toy_tasks.leave_a_circle)) == [1]
    assert list(host.run(toy_tasks.count_circles)) == [0]


def test_what_lies_in_the_present_folder_is_no_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Napari may be started in a folder of scripts, of which one is called json.py."""
    (tmp_path / "json.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    with Host(warm_up=()) as host:
        assert len(list(host.run(toy_tasks.count, 3))) == 3


@posix
def test_the_child_yields_the_processor_to_the_program(host: Host) -> None:
    """On few cores, painting comes first."""
    assert list(host.run(toy_tasks.priority)) == [min(os.nice(0) + 10, 19)]


LAYOUTS = {
    "plain": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "strided": np.moveaxis(np.arange(24, dtype=np.uint16).reshape(2, 3, 4), -1, 0)[:, ::2],
    "reversed": np.arange(24).reshape(4, 6)[::-1],
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "empty": np.zeros((0, 5), np.uint8),
    "no axis": np.array(3.5),
    "big-endian": np.arange(3, dtype=">i4"),
    "broadcast": np.broadcast_to(np.float32(2), (3, 4)),
    "fields": np.array([("a", 1)], dtype=[("name", "U3"), ("size", "i8")]),
}


def test_arrays_arrive_equal_and_read_only(host: Host) -> None:
    """Whatever its layout, an array is the same on the other side, and cannot be written to."""
    arrived = list(host.run(toy_tasks.echo, **LAYOUTS))

    for (layout, sent), (got, writeable) in zip(LAYOUTS.items(), arrived, strict=True):
        np.testing.assert_array_equal(got, sent, err_msg=layout)
        assert (got.dtype, got.shape, writeable) == (sent.dtype, sent.shape, False), layout


def test_a_read_only_array_and_two_more_travel_together(host: Host) -> None:
    """Arrays inside containers do not overlap in the block they share."""
    arrays = [np.full(size, size, np.int32) for size in (1, 1000, 7)]
    arrays[0].flags.writeable = False

    ((arrived, _),) = host.run(toy_tasks.echo, {"masks": arrays})

    for sent, got in zip(arrays, arrived["masks"], strict=True):
        np.testing.assert_array_equal(sent, got)


def test_a_shared_array_is_filled_while_events_come(host: Host) -> None:
    """What the child writes is seen here as soon as the event that tells of it."""
    with SharedArray.create((5, 1000), np.uint16) as shared:
        assert shared.array.max() == 0
        for event in host.run(toy_tasks.fill, shared, 10):
            assert (shared.array[event.index] == 10 + event.index).all()
        picture = shared.array

    assert (picture[4] == 14).all(), "an array must outlive the closing of its name"
    with pytest.raises(ValueError, match="closed"):
        _ = shared.array


@linux
def test_no_shared_memory_is_left_over(host: Host) -> None:
    """Ended, failed, stopped and killed runs all take their blocks away."""
    blocks = set()
    for task, arguments in [
        (toy_tasks.count, (3,)),
        (toy_tasks.fail, ("ValueError",)),
        (toy_tasks.process_id, ()),
        (toy_tasks.sleep_in_the_middle, ()),
    ]:
        with suppress(JobError), closing(host.run(task, *arguments)) as run:
            next(run)
            blocks |= blocks_of()
            next(run) if task is not toy_tasks.sleep_in_the_middle else None
    shared = SharedArray.create((10,), np.uint8)
    blocks |= blocks_of()
    assert len(blocks) == 5
    del run, shared
    gc.collect()

    assert not [block for block in blocks if block.exists()]
    assert blocks_of() == set()


@linux
def test_too_little_shared_memory_is_an_error_and_not_a_crash() -> None:
    """Linux would kill the program at the first write to a page that is not there.

    Nor is the memory that there is handed out first, which would end other programs: with another
    block in use, the system itself notices the shortage at the last page only.
    """
    with SharedArray.create((2**23,), np.uint8):
        room = os.statvfs("/dev/shm")
        before = psutil.virtual_memory().available
        for too_much in (room.f_bavail * room.f_frsize + 2**20, before + 2**30):
            with pytest.raises(DeviceError, match=r"not enough shared memory .* --shm-size"):
                SharedArray.create((too_much,), np.uint8)
            assert psutil.virtual_memory().available > before / 2


def test_an_array_of_objects_cannot_be_shared() -> None:
    """A pointer means nothing in another process."""
    with pytest.raises(TypeError, match="Python objects"):
        SharedArray.create((3,), object)


@pytest.mark.parametrize("kind", ["ValueError", "RuntimeError"])
def test_an_unexpected_error_names_itself_and_brings_its_traceback(host: Host, kind: str) -> None:
    """It becomes a JobError, and the remote traceback is its note."""
    run = host.run(toy_tasks.fail, kind)
    assert next(run) == 1

    with pytest.raises(JobError) as caught:
        next(run)

    assert str(caught.value) == f"{kind}: {toy_tasks.make_error(kind)}"
    (note,) = caught.value.__notes__
    assert "in fail\n" in note
    assert next(host.run(toy_tasks.count, 1)).index == 1, "the next run works"


@pytest.mark.parametrize("kind", ["torch.OutOfMemoryError", "MemoryError", "cpu"])
def test_running_out_of_memory_comes_with_a_remedy(host: Host, kind: str) -> None:
    """All the ways in which torch and numpy say so become a DeviceError."""
    with pytest.raises(DeviceError, match=r"Out of memory .* smaller tile size"):
        list(host.run(toy_tasks.fail, kind))


@pytest.mark.parametrize("kind", ["torch.AcceleratorError", "CUDA"])
def test_a_process_in_which_the_gpu_failed_is_replaced(host: Host, kind: str) -> None:
    """In the same one CUDA would fail again, whatever is asked of it."""
    with closing(host.run(toy_tasks.process_id)) as run:
        before = next(run)
    with pytest.raises(DeviceError, match=r"^The GPU failed \(CUDA error: [^\n]*\)\. Start again;"):
        list(host.run(toy_tasks.fail, kind))

    with closing(host.run(toy_tasks.process_id)) as run:
        assert next(run) != before


def test_our_own_errors_stay_what_they_are(host: Host) -> None:
    """An InputError is for the user: same type, same words, no traceback."""
    with pytest.raises(InputError, match=r"^Paint at least one cell\.$") as caught:
        list(host.run(toy_tasks.fail, "InputError"))

    assert not hasattr(caught.value, "__notes__")


def test_an_error_that_pickle_cannot_make_again_is_told_in_words(host: Host) -> None:
    """Its arguments do not survive, its message does."""
    with pytest.raises(JobError, match="TwoWordsError: two words"):
        list(host.run(toy_tasks.fail, "TwoWordsError"))


def test_a_leaked_stop_iteration_is_an_error(host: Host) -> None:
    """It must not look like the end of the generator."""
    with pytest.raises(JobError, match="generator raised StopIteration"):
        list(host.run(toy_tasks.leak_stop_iteration))


def test_an_import_that_fails_while_warming_up_fails_every_job() -> None:
    """It is not silent, and each job tries again in a new process."""
    with Host(warm_up=("toy_tasks", "no_such_module")) as host:
        host.start()
        for _ in range(2):
            with pytest.raises(JobError, match="No module named 'no_such_module'"):
                list(host.run(toy_tasks.count, 1))


def test_starting_returns_at_once_and_a_stop_needs_no_warm_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While modules are imported, nothing waits for them but the job that needs them."""
    module = """if True:
        import pathlib, time
        while not pathlib.Path(__file__).with_name("imported").exists():
            time.sleep(0.01)
    """
    Path(tmp_path, "slow_module.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    with Host(warm_up=("slow_module",)) as host:
        host.start()
        stop = threading.Event()
        threading.Timer(0.2, stop.set).start()

        assert list(host.run(toy_tasks.count, 1, stop=stop)) == []
        Path(tmp_path, "imported").touch()
        assert len(list(host.run(toy_tasks.count, 3))) == 3


def test_the_first_job_of_a_warm_child_waits_for_no_module() -> None:
    """Torch loads hundreds at the first network it builds; the user should not wait for them."""
    with Host() as host:
        (first,) = host.run(toy_tasks.build_networks, make_segmenter(), 1)
    with Host(warm_up=("torch", "napari_unet.engine.inference")) as host:
        (cold,) = host.run(toy_tasks.build_networks, make_segmenter(), 1)

    assert first < 5 < 100 < cold


def test_closing_the_run_closes_the_generator_in_the_child(host: Host, tmp_path: Path) -> None:
    """Its finally-block runs there, before the close returns."""
    run = host.run(toy_tasks.touch_and_count, str(tmp_path), 10_000, 0.02)
    next(run)
    run.close()

    log = Path(tmp_path, "log").read_text().split()
    assert log[-1] == "closed"
    assert len(log) < 10_000


@pytest.mark.parametrize("task", [toy_tasks.sleep_in_the_middle, toy_tasks.multiply_for_ever])
def test_closing_the_run_does_not_wait_for_the_end_of_a_long_computation(
    host: Host, task: object, tmp_path: Path
) -> None:
    """A generator that does not stop loses its process; the next run works."""
    run = host.run(task, begun=str(tmp_path / "begun"))
    first = next(run)
    while not Path(tmp_path, "begun").exists():
        time.sleep(0.01)
    run.close()

    with closing(host.run(toy_tasks.process_id)) as run:
        assert next(run) != first


def test_closing_the_run_does_not_wait_for_a_generator_that_refuses_to_stop(host: Host) -> None:
    """It loses its process, too, and the next one starts before anything asks for it."""
    run = host.run(toy_tasks.refuse_to_stop)
    first = next(run)
    run.close()

    assert host._child is not None
    assert host._child.alive()
    with closing(host.run(toy_tasks.process_id)) as run:
        assert next(run) != first


@pytest.mark.parametrize(
    ("task", "delay"),
    [
        (toy_tasks.sleep_at_once, 0.0),
        (toy_tasks.sleep_at_once, 0.3),
        (toy_tasks.sleep_in_the_middle, 0.4),
    ],
)
def test_a_stop_reaches_a_run_that_waits(host: Host, task: object, delay: float) -> None:
    """Set before the first event, or while none comes, it ends the run."""
    host.start()
    stop = threading.Event()
    if delay:
        threading.Timer(delay, stop.set).start()
    else:
        stop.set()

    assert len(list(host.run(task, 1000.0, stop=stop))) <= 1


def test_a_stop_between_events_keeps_the_process(host: Host) -> None:
    """A generator that yields often stops by itself."""
    stop = threading.Event()
    pids = []
    for pid in host.run(toy_tasks.process_id, stop=stop):
        pids.append(pid)
        if len(pids) == 10:
            stop.set()

    assert len(pids) == 10
    assert next(host.run(toy_tasks.process_id)) == pids[0]


@pytest.mark.parametrize("error", [InputError, JobError])
def test_an_error_while_closing_is_not_lost(host: Host, error: type[UNetError]) -> None:
    """It may be the only word about a file that was not written."""
    stop = threading.Event()
    run = host.run(toy_tasks.fail_while_closing, error, stop=stop)
    next(run)
    stop.set()

    with pytest.raises(error, match="disk is full"):
        next(run)


@posix
def test_a_killed_child_is_explained_and_replaced(host: Host) -> None:
    """The message names the signal, says what is safe and what to do."""
    run = host.run(toy_tasks.sleep_in_the_middle)
    os.kill(next(run), signal.SIGKILL)

    with pytest.raises(JobError, match=r"SIGKILL.* out of memory.* labels are untouched.* again"):
        next(run)
    assert len(list(host.run(toy_tasks.count, 3))) == 3


@posix
def test_ctrl_c_in_a_terminal_is_for_the_program_alone(host: Host) -> None:
    """The terminal sends it to both; the child goes on until the program tells it to stop."""
    with closing(host.run(toy_tasks.process_id)) as run:
        pid = next(run)
        os.kill(pid, signal.SIGINT)

        assert {next(run) for _ in range(100)} == {pid}


@posix
def test_the_events_before_a_death_still_arrive(host: Host) -> None:
    """What was sent before the process died is not lost."""
    run = host.run(toy_tasks.kill_myself)

    assert next(run) == 1
    with pytest.raises(JobError, match="SIGKILL"):
        next(run)


def test_a_crash_names_its_exit_code(host: Host) -> None:
    """Not every death is a signal."""
    with pytest.raises(JobError, match="exit code 7"):
        list(host.run(toy_tasks.exit_with, 7))


@posix
def test_a_child_that_died_between_runs_is_replaced_silently(host: Host) -> None:
    """Nobody's work was lost, so nobody is told."""
    with closing(host.run(toy_tasks.process_id)) as run:
        pid = next(run)
    os.kill(pid, signal.SIGKILL)
    while host._child is not None and host._child.alive():
        time.sleep(0.01)

    assert next(host.run(toy_tasks.process_id)) != pid


def test_only_one_run_at_a_time(host: Host) -> None:
    """A second one is refused, and the first is not disturbed."""
    with closing(host.run(toy_tasks.count, 3)) as first:
        next(first)
        with pytest.raises(JobError, match="still running"):
            next(host.run(toy_tasks.count, 3))

        assert [event.index for event in first] == [2, 3]


def test_the_generator_waits_for_a_slow_consumer(host: Host, tmp_path: Path) -> None:
    """It runs ahead by a bounded number of events only."""
    run = host.run(toy_tasks.touch_and_count, str(tmp_path), 500)
    next(run)
    time.sleep(0.5)
    made = len(Path(tmp_path, "log").read_text().splitlines())

    assert made <= 40
    assert len(list(run)) == 499


def test_a_segmenter_is_sent_only_when_it_changes(host: Host) -> None:
    """Events that share one object share one here too, and it was pickled once."""
    events = list(host.run(toy_tasks.count_pickles, 5))

    assert [event.index for event in events] == [0, 1, 1, 1, 1]
    assert len({id(event.segmenter) for event in events}) == 1


def test_a_changed_segmenter_replaces_the_one_before(host: Host) -> None:
    """Each event holds the state it was yielded with."""
    weights = {"weights": np.zeros(100)}
    events = list(host.run(toy_tasks.learn, weights, 9, 3))

    assert [event.segmenter["weights"][0] for event in events] == [0, 0, 0, 3, 3, 3, 6, 6, 6]
    assert [event.index for event in events] == list(range(9))


def test_warnings_are_raised_again_here_and_in_every_run(host: Host) -> None:
    """Once per place and run; a category of one's own becomes a UserWarning."""
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            list(host.run(toy_tasks.warn, times=5))

        assert [(w.category, str(w.message)) for w in caught] == [
            (UserWarning, "few labels"),
            (RuntimeWarning, "slow device"),
            (UserWarning, "homemade"),
        ]
        assert {Path(w.filename).name for w in caught} == {"toy_tasks.py"}


def test_a_warning_made_an_error_stops_the_run(host: Host) -> None:
    """The run that raises it leaves nothing running in the child."""
    with pytest.raises(UserWarning, match="few labels"):
        list(host.run(toy_tasks.warn))

    assert len(list(host.run(toy_tasks.count, 3))) == 3


def test_prints_and_reads_do_not_disturb_the_stream(host: Host) -> None:
    """Standard output and input belong to the program, not to the stream of events."""
    assert list(host.run(toy_tasks.chatter)) == [0]


@linux
def test_closing_ends_the_child_also_in_the_middle_of_a_run() -> None:
    """The run in the other thread raises, and nothing hangs."""
    host = Host(warm_up=())
    pids: list[int] = []
    errors: list[Exception] = []

    def consume() -> None:
        try:
            pids.extend(host.run(toy_tasks.sleep_in_the_middle))
        except JobError as error:
            errors.append(error)

    thread = threading.Thread(target=consume)
    thread.start()
    while not pids:
        time.sleep(0.01)
    host.close()
    thread.join()

    assert gone(pids[0])
    assert [str(error) for error in errors] == [
        "The compute process was closed while a computation was running."
    ]
    with pytest.raises(JobError, match="closed"):
        next(host.run(toy_tasks.count, 1))


def test_closing_does_not_wait_for_a_consumer_that_rests() -> None:
    """Nobody asks the run for its next event, so it cannot stop by itself."""
    host = Host(warm_up=())
    run = host.run(toy_tasks.count, 1000)
    next(run)
    host.close()

    with pytest.raises(JobError):
        list(run)


@linux
def test_a_forgotten_host_takes_its_child_along() -> None:
    """Garbage collection is enough."""
    host = Host(warm_up=())
    with closing(host.run(toy_tasks.process_id)) as run:
        pid = next(run)
    del host, run
    gc.collect()

    assert gone(pid)


PROGRAM = """
import sys, time
sys.path.append({folder!r})
import numpy as np
import toy_tasks
from napari_unet.engine.host import Host
from napari_unet.engine.process.shared_memory import SharedArray
host = Host(warm_up=())
shared = SharedArray.create((1000,), np.uint8)
run = host.run(toy_tasks.{task})
print(next(run), flush=True)
{rest}
"""


@contextmanager
def program_that_runs(task: str, rest: str) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """Start a program that starts a run and then does the rest; give it and its child's number."""
    program = subprocess.Popen(
        [
            *(sys.executable, "-W", "error", "-c"),
            PROGRAM.format(folder=str(Path(__file__).parent), task=task, rest=rest),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stdout is not None
        yield program, int(program.stdout.readline())


@linux
@pytest.mark.parametrize("task", ["sleep_in_the_middle", "multiply_for_ever"])
def test_a_killed_program_leaves_no_process_and_no_memory(task: str) -> None:
    """The child notices, also in the middle of a computation."""
    with program_that_runs(task, "time.sleep(60)") as (program, child):
        blocks = blocks_of(program.pid)
        assert len(blocks) == 2
        assert not gone(child, within=0.1)
        program.kill()
        program.wait()

        assert gone(child)
    # what the program owned is removed by a process of Python's own, at its leisure
    deadline = time.monotonic() + 20
    while any(block.exists() for block in blocks) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [block for block in blocks if block.exists()]


@linux
def test_a_program_that_just_ends_leaves_nothing_and_says_nothing() -> None:
    """No process, no shared memory, no word of leaks on standard error."""
    with program_that_runs("process_id", "sys.stdin.readline()") as (program, child):
        blocks = blocks_of(program.pid)
        _, errors = program.communicate("go on\n", timeout=20)

    assert (program.returncode, errors) == (0, "")
    assert len(blocks) == 2
    assert not [block for block in blocks if block.exists()]
    assert gone(child)


def test_messages_reach_the_running_generator_in_order(host: Host) -> None:
    """What is put before and during a run arrives once, in the order it was put."""
    mailbox = Mailbox()
    mailbox.put("before")
    events = host.run(toy_tasks.repeat_mail, mailbox, 4)
    assert next(events) == "before"
    for message in (1, 2, 3):
        mailbox.put(message)
    assert list(events) == [1, 2, 3]


def test_a_message_that_is_a_function_is_called_where_it_is_sent(host: Host) -> None:
    """An image on disk is read in the program's worker, and its pixels travel."""
    mailbox = Mailbox()
    mailbox.put(lambda: np.arange(6).reshape(2, 3))
    (pixels,) = host.run(toy_tasks.repeat_mail, mailbox, 1)
    np.testing.assert_array_equal(pixels, [[0, 1, 2], [3, 4, 5]])


def test_a_message_for_a_run_that_is_over_does_not_reach_the_next_one(host: Host) -> None:
    """What a stopped run did not take is forgotten."""
    first, second = Mailbox(), Mailbox()
    first.put("left")
    with closing(host.run(toy_tasks.leave_mail, first)) as events:
        next(events)
    second.put("mine")
    assert list(host.run(toy_tasks.repeat_mail, second, 1)) == ["mine"]


def test_a_shared_array_in_a_message_is_written_by_the_generator(host: Host) -> None:
    """Pixels come back through memory that was sent in a message."""
    mailbox = Mailbox()
    with SharedArray.create((4,), np.uint8) as shared:
        mailbox.put(shared)
        events = host.run(toy_tasks.write_into_mailed, mailbox)
        assert list(events) == ["written"]
        np.testing.assert_array_equal(shared.array, [7, 7, 7, 7])
