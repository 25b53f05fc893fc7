"""A training that was stopped and can go on: its state in a file, its layers in the viewer."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.errors import InputError
from napari_unet.viewer.learning.training import Stopped, Training

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = ["Resuming"]


class Resuming:
    """Keeps one stopped training, as long as it can go on."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="live-unet-", ignore_cleanup_errors=True)
        self._stopped: Stopped | None = None

    @property
    def possible(self) -> bool:
        """Whether a training was stopped that can go on where it was."""
        return self._stopped is not None and self._stopped.checkpoint.exists()

    def new_checkpoint(self) -> Path:
        """Return where the next training keeps its state; that of the stopped one stays."""
        kept = None if self._stopped is None else self._stopped.checkpoint
        first, second = (Path(self._folder.name, f"{name}.state") for name in ("one", "other"))
        checkpoint = second if first == kept else first
        checkpoint.unlink(missing_ok=True)
        return checkpoint

    def keep(self, training: Training) -> None:
        """Keep a training that was stopped, if it can go on, instead of one stopped before."""
        self._stopped = training.stopped() or self._stopped

    def again(self, viewer: ViewerModel) -> Training:
        """Return a training that goes on where the last one stopped, with what is painted now.

        Raises
        ------
        InputError
            If no training was stopped, or its layers do not fit any more.
        """
        if self._stopped is None or not self.possible:
            raise InputError(
                "No training was stopped that could go on; press Train on current labels."
            )
        return self._stopped.again(viewer)

    def needs(self, layer: Layer) -> bool:
        """Whether the stopped training learns from a layer."""
        return self._stopped is not None and layer in self._stopped.layers

    def forget(self) -> None:
        """Keep none, for its model or its layers are gone, or another one has learned since."""
        self._stopped = None

    def close(self) -> None:
        """Delete what is kept."""
        self._folder.cleanup()
