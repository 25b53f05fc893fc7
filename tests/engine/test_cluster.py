"""A batch on workers: the same files, whoever made them, and whoever was killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import tifffile

from napari_unet.core.config import PredictConfig
from napari_unet.engine import blocks
from napari_unet.engine.batch import segment_files
from napari_unet.engine.items import scratch, tasks
from napari_unet.engine.items.events import BatchDone, ItemDone
from napari_unet.engine.items.item import BatchOptions
from napari_unet.engine.starter import starter_model
from napari_unet.errors import DeviceError, InputError, JobError, LostDeviceError
from napari_unet.sample_data import touching_cells

pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
import toy_units

from napari_unet.engine import cluster
from napari_unet.engine.cluster import local_workers, scheduler_at
from napari_unet.engine.daskexecutor import DaskExecutor
from napari_unet.engine.slurm import slurm_settings

# what dask does with sockets of processes that were killed is not ours
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
HERE = {"PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture(scope="module")
def workers() -> Iterator[DaskExecutor]:
    """Two processes."""
    with local_workers(2) as executor:
        yield executor


def outputs(folder: Path) -> dict[str, bytes]:
    """Read what a batch wrote, but for what it remembers."""
    files = (path for path in sorted(folder.rglob("*.*")) if ".live-unet" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.is_file()}


def attempts(folder: Path) -> dict[int, int]:
    """Count how often each unit of work was begun."""
    numbers = [int(path.name.split("-")[0]) for path in folder.iterdir()]
    return {number: numbers.count(number) for number in numbers}


def test_workers_leave_the_environment_of_the_program_as_it_was() -> None:
    """Dask sets numbers of threads for its workers, which every later process would inherit."""
    before = dict(os.environ)
    with local_workers(1):
        pass

    assert dict(os.environ) == before


def test_workers_write_the_files_that_one_process_writes(
    workers: DaskExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte by byte; a file that cannot be read is one failed item."""
    images = tmp_path / "images"
    images.mkdir()
    for seed in range(3):
        tifffile.imwrite(images / f"{seed}.tif", touching_cells((128, 128), seed=seed)[0])
    (images / "bad.tif").write_bytes(b"not an image")
    tifffile.imwrite(images / "large.tif", touching_cells((300, 300), seed=9)[0])
    # what is larger is segmented in blocks, here and there
    usual, cut = (blocks.LARGE, scratch.BLOCK), (200 * 200, 128)
    monkeypatch.setattr(blocks, "LARGE", cut[0])
    monkeypatch.setattr(scratch, "BLOCK", cut[1])
    workers._client.run(toy_units.cut_into_blocks, *cut)
    options, config = BatchOptions(measure="csv"), PredictConfig(device="cpu")
    model = starter_model()
    done = {}
    for where, executor in (("here", None), ("there", workers)):
        *_, last = segment_files(
            model, images, tmp_path / where, config, options, executor=executor
        )
        assert isinstance(last, BatchDone)
        done[where] = (last.done, last.failed), outputs(tmp_path / where)
    workers._client.run(toy_units.cut_into_blocks, *usual)
    assert done["here"] == done["there"]
    assert done["here"][0] == (4, 1)
    assert len(done["here"][1]) > 6


@pytest.mark.parametrize("most", [2**26, 0], ids=["in one go", "in parts"])
def test_workers_in_another_folder_find_images_and_results(
    workers: DaskExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Paths that were given relative to the program's folder mean the same files there."""
    monkeypatch.setattr(tasks, "ALONE", most)
    monkeypatch.chdir(tmp_path)
    stack = [touching_cells((64, 64))[0]] * 2
    tifffile.imwrite("a.tif", stack, ome=True, photometric="minisblack", metadata={"axes": "ZYX"})
    *_, done, last = segment_files(
        starter_model(), "a.tif", "out", PredictConfig(device="cpu"), executor=workers
    )

    assert isinstance(last, BatchDone)
    assert last.done == 1
    assert isinstance(done, ItemDone)
    assert done.outputs == (Path("out/a_labels.tif"),)
    assert (tmp_path / "out" / "a_labels.tif").is_file()


def test_a_model_travels_once_to_each_worker(workers: DaskExecutor) -> None:
    """And is the same object for all that the worker does."""
    model = starter_model()
    given = [(model, number) for number in range(12)]
    seen = [result for _, result in workers.map(toy_units.look, given)]
    numbers, processes, models, threads = zip(*seen, strict=True)
    assert sorted(numbers) == list(range(12))
    assert os.getpid() not in processes
    assert len(set(zip(processes, models, strict=True))) == len(set(processes)) == 2
    assert set(threads) == {1}


def test_errors_come_back_as_they_are(workers: DaskExecutor) -> None:
    """Those that a user is told, of the unit that failed; another is the end of the batch."""
    results = dict(workers.map(toy_units.refuse, [(5,), (6,)]))
    assert {type(error) for error in results.values()} == {InputError}
    assert str(results[1]) == "Image 6 cannot be read."
    with pytest.raises(JobError, match=r"cannot do their part \(ZeroDivisionError: of nothing\)"):
        list(workers.map(toy_units.refuse, [(0,)]))
    assert list(workers.map(toy_units.refuse, [])) == []


def test_a_worker_whose_gpu_failed_has_a_successor() -> None:
    """It would fail whatever is next, and so quickly that it would get most of a batch."""
    with local_workers(2) as executor:
        ((_, error),) = executor.map(toy_units.lose_the_gpu, [(0,)])
        assert isinstance(error, LostDeviceError)
        process = int(str(error).split()[-1])
        while psutil.pid_exists(process):
            time.sleep(0.05)
        numbers = range(1, 9)
        results = dict(executor.map(toy_units.lose_the_gpu, [(number,) for number in numbers]))

    assert sorted(results.values()) == list(numbers)


def test_the_only_worker_tells_that_its_gpu_failed_before_it_goes() -> None:
    """A result that goes with it would be asked of its successor, which would fail as well."""
    with local_workers(1) as executor:
        for attempt in range(3):
            ((_, error),) = executor.map(toy_units.lose_the_gpu, [(0,)])
            assert isinstance(error, LostDeviceError)
            ((_, number),) = executor.map(toy_units.lose_the_gpu, [(attempt + 1,)])
            assert number == attempt + 1


def test_a_killed_worker_costs_only_its_task(tmp_path: Path) -> None:
    """It is done again; what kills every worker is given up, with a sentence."""
    with local_workers(2) as executor:
        results, alive = {}, True
        for index, result in executor.map(toy_units.outlive, [(tmp_path, n) for n in range(6)]):
            results[index] = result
            while not (begun := list(tmp_path.glob("1-*"))):
                time.sleep(0.01)
            process = begun[0].name.split("-")[1]
            others = {int(path.name.split("-")[0]) for path in tmp_path.glob(f"*-{process}")} - {1}
            if alive and others <= results.keys():  # what it has done before has arrived
                os.kill(int(process), signal.SIGKILL)
                alive = False
        assert results == {number: number**2 for number in range(6)}
        assert attempts(tmp_path) == {number: 1 + (number == 1) for number in range(6)}
        executor._client.cluster.scheduler.allowed_failures = 0  # not to wait for as many deaths
        ((index, error),) = executor.map(toy_units.die, [()])
    assert isinstance(error, JobError)
    assert "died, one after the other. Perhaps memory does not suffice" in str(error)


def test_a_worker_that_dies_while_it_starts_is_told_in_a_sentence() -> None:
    """As where the system ends one of many for want of memory; nobody is left."""
    before, over = set(psutil.Process().children(recursive=True)), threading.Event()

    def kill() -> None:
        while not over.wait(0.05):
            for child in set(psutil.Process().children(recursive=True)) - before:
                with suppress(psutil.Error):
                    if "spawn_main" in " ".join(child.cmdline()):
                        child.kill()

    with ThreadPoolExecutor(1) as threads:
        killing = threads.submit(kill)
        try:
            with pytest.raises(DeviceError, match=r"One of 1 workers died while it was started"):
                local_workers(1).__enter__()
        finally:
            over.set()
            killing.result()


def test_a_worker_that_dies_of_a_model_has_a_successor(tmp_path: Path) -> None:
    """Which is given the model, too, and nothing else comes of it."""
    model = replace(starter_model(), provenance={"large": toy_units.Fatal(tmp_path / "died")})
    with local_workers(2) as executor:
        results = dict(executor.map(toy_units.look, [(model, number) for number in range(4)]))
    assert (tmp_path / "died").exists()
    assert [results[number][0] for number in range(4)] == [0, 1, 2, 3]


def test_when_the_scheduler_dies_a_sentence_says_what_to_do(tmp_path: Path) -> None:
    """At once; and where there is none, that is said too."""
    file = tmp_path / "scheduler.json"
    run = [sys.executable, "-m"]
    options = ["--scheduler-file", str(file), "--no-dashboard"]
    quiet: dict[str, Any] = {"env": os.environ | HERE, "stderr": subprocess.DEVNULL}
    scheduler = subprocess.Popen(
        [*run, "distributed.cli.dask_scheduler", "--port", "0", *options], **quiet
    )
    worker = subprocess.Popen(
        [*run, "distributed.cli.dask_worker", "--no-nanny", "--nthreads", "1", *options], **quiet
    )
    try:
        while not file.exists():
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        with scheduler_at(address) as executor:
            results = executor.map(toy_units.linger, [(tmp_path, n, 0.1) for n in range(99)])
            next(results)
            scheduler.kill()
            with pytest.raises(JobError, match=r"scheduler is gone.*run the same batch again"):
                list(results)
    finally:
        for process in (scheduler, worker):
            process.kill()
            process.wait()


def test_a_scheduler_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its address."""
    monkeypatch.setattr(cluster, "PATIENCE", 0.2)
    message = "There is no Dask scheduler at tcp://127.0.0.1:9"
    with pytest.raises(InputError, match=message), scheduler_at("tcp://127.0.0.1:9"):
        pass


def test_options_of_slurm_become_those_of_its_jobs() -> None:
    """What Dask has a name for, and what only SLURM knows; one unit of work at a time."""
    SLURMJob = cluster._dask("dask_jobqueue.slurm").SLURMJob
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    options = "cores=4,memory=16GB,walltime=02:00:00,queue=gpu,gres=gpu:1,exclusive"
    script = SLURMJob("tcp://10.0.0.1:8786", name="one", **slurm_settings(options)).job_script()
    lines = script.splitlines()
    for option in ("-p gpu", "-t 02:00:00", "--cpus-per-task=4", "--gres=gpu:1", "--exclusive"):
        assert f"#SBATCH {option}" in lines
    assert lines[-1].count("--nthreads") == 2
    assert lines[-1].endswith("--nthreads 1")
    with pytest.raises(InputError, match=r"'queue=gpu'; cores and memory are needed, such as"):
        slurm_settings("queue=gpu")


def test_without_dask_the_command_that_installs_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By all three kinds of workers."""
    for module in ("distributed", "dask_jobqueue.slurm"):
        monkeypatch.setitem(sys.modules, module, None)
    for workers in (
        local_workers(1),
        scheduler_at("tcp://127.0.0.1:9"),
        cluster.slurm_jobs(1, "cores=1,memory=1GB"),
    ):
        with pytest.raises(InputError, match=r'pip install "napari-live-unet\[cluster\]"'), workers:
            pass
