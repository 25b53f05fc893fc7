"""Call one function again and again: on a GPU as one graph, and without waiting for it.

A training step of a small network is hundreds of short operations, and to launch them one by one
takes a CPU longer than they take a GPU. A CUDA graph is launched at once. It holds addresses and
not values, so what changes from call to call is written into tensors that stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["Captured", "Late"]

WARM_UPS = 3
"""Calls before a graph is captured, in which libraries choose kernels and take their memory."""


class Captured:
    """Calls a function, the same each time; on CUDA, after some calls, as a graph of what it did.

    Parameters
    ----------
    device : torch.device
        Of the tensors of the function. Where it is not a GPU of CUDA, every call is a plain one.

    Attributes
    ----------
    refusal : str
        Why no graph could be made, and every call is a plain one; empty otherwise.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._warm_ups = WARM_UPS
        self._graph: torch.cuda.CUDAGraph | None = None
        self.refusal = ""

    @property
    def is_graph(self) -> bool:
        """Whether a graph is launched from now on."""
        return self._graph is not None

    def __call__(self, function: Callable[[], object]) -> None:
        """Do what the function does.

        Parameters
        ----------
        function : callable
            Reads and writes only tensors that stay where they are, and never waits for the device.
        """
        if self._stream is not None and self._graph is None:
            if self._warm_ups:
                self._warm_up(function, self._stream)
                return
            self._capture(function, self._stream)
        if self._graph is not None:
            self._graph.replay()
        else:
            function()

    def _warm_up(self, function: Callable[[], object], stream: torch.cuda.Stream) -> None:
        """Call the function where it will be captured: these calls count like all others."""
        self._warm_ups -= 1
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            function()
        torch.cuda.current_stream(self._device).wait_stream(stream)

    def _capture(self, function: Callable[[], object], stream: torch.cuda.Stream) -> None:
        """Record the function without running it; if that is refused, nothing has happened."""
        generator = torch.cuda.default_generators[stream.device.index]
        untouched = generator.clone_state()
        try:
            # what comes after a capture that failed must not stay on its stream
            with torch.cuda.stream(stream):
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph, stream=stream):
                    function()
        except RuntimeError as error:
            # torch (before 2.13) would refuse to draw random numbers ever after
            generator.graphsafe_set_state(untouched)
            self.refusal, self._stream = str(error), None
        else:
            self._graph = graph


class Late:
    """Reads numbers from a device without waiting for what it is doing now.

    Parameters
    ----------
    numbers : Tensor
        Stays where it is.
    late : bool
        Whether a read returns what the numbers were at the read before (the first, what they are):
        then the device always has something to do, and the CPU can prepare what is next.
    """

    def __init__(self, numbers: Tensor, late: bool) -> None:
        self._numbers, self._late, self._reads = numbers, late, 0
        self._device = numbers.device
        cuda = self._device.type == "cuda"
        # memory that a GPU writes to by itself; in turns, so that none is overwritten unread
        self._copies = [torch.empty(numbers.shape, pin_memory=cuda) for _ in range(2)]
        self._written = [torch.cuda.Event() for _ in range(2)] if cuda else []

    def read(self) -> list[float]:
        """Return the numbers."""
        now = self._reads % 2
        wanted = 1 - now if self._late and self._reads else now
        self._reads += 1
        self._copies[now].copy_(self._numbers, non_blocking=True)
        if self._written:
            self._written[now].record(torch.cuda.current_stream(self._device))
            self._written[wanted].synchronize()
        values: list[float] = self._copies[wanted].tolist()
        return values
