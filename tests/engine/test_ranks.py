"""Several processes that train together are one with a larger batch; none waits for the dead."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from painting import config, disks

from napari_unet.core.annotation import Annotation
from napari_unet.core.config import TrainConfig
from napari_unet.engine.device import is_fast_with_bfloat16
from napari_unet.engine.events import StepDone
from napari_unet.engine.learning.ranks import ALONE, Ranks, placed, together
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.training import train
from napari_unet.errors import DeviceError, InputError

torch.set_num_threads(1)
PROGRAM = """
import json, os, sys
from contextlib import closing
from itertools import islice
sys.path.append(sys.argv[1])
from painting import config, disks
from napari_unet.core.annotation import Annotation
from napari_unet.engine.events import StepDone
from napari_unet.engine.training import train

def losses(events):
    return [event.loss for event in events if isinstance(event, StepDone)]

painted, settings, state = [Annotation(*disks((200, 260)))], config(steps=6), sys.argv[2]
whole = losses(train(painted, settings))
with closing(train(painted, settings, checkpoint=state)) as events:
    # the first process validates after each step
    first = losses(islice(events, 7 if os.environ["RANK"] == "0" else 4))
os.environ["MASTER_PORT"] = sys.argv[3]
*_, last = rest = list(train(painted, settings, checkpoint=state))
weights = float(sum(abs(array).sum() for array in last.segmenter.weights.values()))
print(json.dumps([whole, first, losses(rest), weights, str(last.score)]), flush=True)
for event in train(painted, config(steps=100_000)):
    print(type(event).__name__, flush=True)
"""

ENDING = """
import atexit, sys, weakref
from torch import distributed as dist
sys.path.append(sys.argv[1])
from painting import config, disks
from napari_unet.core.annotation import Annotation
from napari_unet.engine.training import train

groups = []
# what is registered first is called last
atexit.register(lambda: print([group() for group in groups]))
list(train([Annotation(*disks())], config(steps=1)))
groups.append(weakref.ref(dist.group.WORLD))
"""


def start(rank: int, port: int, *arguments: str, program: str = PROGRAM) -> subprocess.Popen[str]:
    """Start one of two processes as torchrun does."""
    told = {"RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return subprocess.Popen(
        [sys.executable, "-c", program, str(Path(__file__).parent), *arguments],
        env=os.environ | {name: str(value) for name, value in told.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_port() -> int:
    """Find one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_two_processes_take_the_steps_of_one_with_the_joined_batch(tmp_path: Path) -> None:
    """Through torchrun and the command; one of them prints, and writes the same model."""
    image, labels = disks()
    for name, pixels in (("a", image), ("a_labels", labels.astype("u2"))):
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels)
    command = ["napari_unet.cli", "train", "a.tif", "--labels", "a_labels.tif", "--meaning"]
    command += ["instances", "-o", "cells.unet", "--json", "--seconds", "0", "--steps", "10"]
    command += ["--base-channels", "4", "--depth", "2", "--downsample", "1", "--device", "cpu"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    run = subprocess.run(
        [*torchrun, "--master-port", str(free_port()), "-m", *command],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    told = [json.loads(line) for line in run.stdout.splitlines()]
    assert [event["event"] for event in told].count("Prepared") == 1
    assert "2 processes, each on CPU, 1 thread" in told[0]["message"]
    joined = list(train([Annotation(image, labels)], config(steps=10, batch=2)))
    together = [event["loss"] for event in told if event["event"] == "StepDone"]
    alone = [event.loss for event in joined if isinstance(event, StepDone)]
    assert len(alone) == 10
    rounded = 1e-3 if is_fast_with_bfloat16(torch.device("cpu")) else 1e-5
    assert together == pytest.approx(alone, rel=rounded, abs=1e-5)
    saved = Segmenter.load(tmp_path / "cells.unet")
    for name, array in joined[-1].segmenter.weights.items():
        # Adam moves a weight by the sign of its gradient, be that ever so small
        assert np.abs(saved.weights[name] - array).mean() < 1e-3
    single = [e.loss for e in train([Annotation(image, labels)], config()) if hasattr(e, "loss")]
    assert together[1] != pytest.approx(single[1], abs=1e-3)


def test_together_they_stop_and_resume_and_none_waits_for_the_dead(tmp_path: Path) -> None:
    """The first keeps the state for all; a killed one ends the other at once, with a sentence."""
    port, other, file = free_port(), free_port(), tmp_path / "state"
    first, second = (start(rank, port, str(file), str(other)) for rank in range(2))
    assert first.stdout is not None
    assert second.stdout is not None
    said = [json.loads(process.stdout.readline()) for process in (first, second)]
    assert said[0] == said[1]
    whole, before, after, _, score = said[0]
    assert (len(whole), len(before)) == (6, 3)
    assert whole == before + after
    assert score.startswith(("SEG", "IoU"))
    assert not file.exists()
    for _ in range(6):
        first.stdout.readline()
    second.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    _, complaint = first.communicate(timeout=30)
    second.communicate()
    assert first.returncode == 1
    assert "JobError: Another process of this training ended or cannot be reached" in complaint


def test_nothing_of_the_group_outlives_the_program() -> None:
    """Its threads would let go of tensors while Python ends, which aborts the process."""
    port = free_port()
    processes = [start(rank, port, program=ENDING) for rank in range(2)]
    for process in processes:
        said, complaint = process.communicate(timeout=60)
        assert said.strip() == "[None]", complaint
        assert process.returncode == 0


def test_the_environment_says_which_process_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several only where torchrun says so; what is missing is named."""
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert placed() is ALONE
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert placed() is ALONE
    monkeypatch.setenv("RANK", "3")
    assert (placed(), placed().is_first) == (Ranks(3, 4), False)
    message = r"WORLD_SIZE is 4.*but MASTER_ADDR, MASTER_PORT is not set; start.*torchrun"
    with pytest.raises(InputError, match=message), together("cpu"):
        pass
    with pytest.raises(DeviceError, match="meta"), together("meta"):
        pass
    with together("cpu", alone=True) as (ranks, device):
        assert (ranks, device.type) == (ALONE, "cpu")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert placed() is ALONE


def test_every_patch_of_a_step_has_one_process() -> None:
    """However many there are of both; too few are refused."""
    for count in (1, 2, 3):
        shares = [number for rank in range(count) for number in Ranks(rank, count).patches(7)]
        assert sorted(shares) == list(range(7))
    with pytest.raises(InputError, match=r"batch is 2, and 3 processes share .* set it to 3"):
        Ranks(0, 3).patches(2)


def test_a_larger_batch_begins_with_the_same_patch() -> None:
    """The first patch of a step is that of a training with one, and so is its loss alone."""
    steps = [train([Annotation(*disks())], config(steps=1, batch=batch)) for batch in (0, 1, 2)]
    losses = [[e.loss for e in events if isinstance(e, StepDone)] for events in steps]
    assert losses[0] == losses[1] != losses[2]
    assert TrainConfig().batch == 0
