"""Which device, in words, and torch's out-of-memory errors in ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.engine.device import (
    describe,
    is_fast_with_bfloat16,
    select_device,
    torch_errors,
)
from napari_unet.errors import DeviceError

torch.set_num_threads(1)
no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")


def test_automatic_is_the_best_there_is() -> None:
    """CUDA, else MPS, else the CPU."""
    found = select_device("auto").type
    if torch.cuda.is_available():
        assert found == "cuda"
    else:
        assert found == ("mps" if torch.backends.mps.is_available() else "cpu")
    assert TrainConfig().device == PredictConfig().device == "auto"


def test_the_cpu_is_always_there() -> None:
    """And says how many threads it has."""
    device, before = select_device("cpu"), torch.get_num_threads()
    assert device == torch.device("cpu")
    try:
        for threads, said in ((1, "CPU, 1 thread"), (2, "CPU, 2 threads")):
            torch.set_num_threads(threads)
            assert describe(device) == said
    finally:
        torch.set_num_threads(before)


@no_cuda
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7"])
def test_a_device_that_is_absent_is_never_replaced_silently(name: str) -> None:
    """Asking for CUDA without one is an error that names the remedy."""
    with pytest.raises(DeviceError, match=f"{name}.*device='auto'"):
        select_device(name)


@pytest.mark.parametrize("name", ["", "gpu", "cuda:x", "cuda:-1", "meta", "cuda:99"])
def test_names_that_are_no_device_are_refused(name: str) -> None:
    """Also those that torch knows but nobody can train on."""
    with pytest.raises(DeviceError, match=f"'{name}'"):
        select_device(name)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("no room"),
        torch.OutOfMemoryError("CUDA out of memory. Tried...\nmore"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:115] data. DefaultCPUAllocator: not enough memory"
        ),
        RuntimeError("could not create a primitive"),
    ],
    ids=["NumPy", "CUDA", "Windows", "oneDNN"],
)
def test_running_out_of_memory_says_what_to_do(error: Exception) -> None:
    """One line of what torch said, and the remedy."""
    with (
        pytest.raises(DeviceError, match=r"Out of memory \([^\n]*\)\. Use a smaller tile\.$"),
        torch_errors("Use a smaller tile."),
    ):
        raise error


@pytest.mark.parametrize("kind", [getattr(torch, "AcceleratorError", RuntimeError), RuntimeError])
def test_a_gpu_that_failed_is_told_from_a_mistake(kind: type[Exception]) -> None:
    """Also by a version of torch that has no error of its own for it."""
    error = kind("CUDA error: unspecified launch failure\nSearch for")
    with (
        pytest.raises(
            DeviceError, match=r"^The GPU failed \(CUDA error: unspecified launch failure"
        ),
        torch_errors("Use a smaller tile."),
    ):
        raise error


def test_the_cpus_own_allocator_is_understood() -> None:
    """It reports through a bare RuntimeError, which napari's worker would swallow."""
    with pytest.raises(DeviceError, match=r"Out of memory.*Buy some"), torch_errors("Buy some."):
        torch.empty(2**58, dtype=torch.uint8)


LIBRARY = """
import resource
import numpy
from napari_unet.engine.items.errors import again

def load():
    import numba

pages = int(open("/proc/self/statm").read().split()[0])
room = pages * resource.getpagesize() + (1 << 25)
resource.setrlimit(resource.RLIMIT_AS, (room, resource.RLIM_INFINITY))
again(load)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="there the size of a process cannot be limited")
def test_a_library_for_which_there_is_no_memory_is_not_blamed_on_the_disk() -> None:
    """Numba is loaded when the first cells are to be separated, and says nothing of memory."""
    run = subprocess.run(
        [sys.executable, "-c", LIBRARY], capture_output=True, text=True, check=False
    )

    assert "Could not find/load shared object file" in run.stderr
    assert "DeviceError: Memory does not suffice for this image" in run.stderr


def test_other_errors_pass_unchanged() -> None:
    """A mistake in the program is not taken for a lack of memory."""
    with pytest.raises(RuntimeError, match="shape"), torch_errors("Buy some."):
        torch.zeros(2, 3).reshape(5).add(torch.zeros(1))
    with pytest.raises(KeyError), torch_errors("Buy some."):
        raise KeyError("x")


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="only Linux tells it in a file")
def test_bfloat16_is_fast_where_the_cpu_says_so() -> None:
    """What torch tells of the CPU is what the system tells."""
    flags = Path("/proc/cpuinfo").read_text().split()
    assert is_fast_with_bfloat16(torch.device("cpu")) == ("avx512_bf16" in flags)
    assert not is_fast_with_bfloat16(torch.device("mps"))


@pytest.mark.skipif(sys.platform != "linux", reason="forking is what multiprocessing does there")
def test_a_process_that_is_forked_can_compute() -> None:
    """Also where torch has computed with several threads before."""
    code = """if True:
        import os, signal, torch
        from napari_unet import sample_data, segment
        from napari_unet.engine.starter import starter_model

        torch.set_num_threads(2)
        model, (image, _) = starter_model(), sample_data.touching_cells((128, 128))
        cells = segment(model, image)
        if not (child := os.fork()):
            signal.alarm(60)  # one that waits for ever
            os._exit(int((segment(model, image) != cells).any()))
        raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
