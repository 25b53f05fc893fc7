"""Which images a batch takes: all that are open, or files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from magicgui.widgets import ComboBox, LineEdit
from qtpy.QtWidgets import QFileDialog

from napari_unet.errors import InputError
from napari_unet.widgets.parts import button, narrow, row

__all__ = ["OPEN", "BatchSource"]

OPEN, FILES = "all open images", "files or a folder"
BETWEEN = "; "


class BatchSource:
    """Chooses open images, files, a folder, or a pattern that files match.

    Parameters
    ----------
    changed : callable
        Called after each choice.
    """

    def __init__(self, changed: Callable[[], object]) -> None:
        self._changed = changed
        self._chosen: list[str] = []
        self.what = narrow(ComboBox(label="Segment", choices=[OPEN, FILES]))
        self.what.tooltip = "All open image layers with all their planes, or images on disk."
        self._path = LineEdit()
        self._path.tooltip = (
            "A folder (with its subfolders), a file, or a pattern such as plates/*/*.tif. TIFF, "
            "OME-TIFF, OME-Zarr, PNG, JPEG, BMP, and whatever an installed napari reader opens."
        )
        self._path.native.setPlaceholderText("folder, file or pattern")
        self._folder = button("Folder", "Choose a folder; its subfolders are included.")
        self._files = button("Files", "Choose one or more files.")
        self.files_row = row(
            self._path,
            self._folder,
            self._files,
            label="Images",
            tooltip=self._path.tooltip,
            stretch=(1, 0, 0),
        )
        self.what.changed.connect(changed)
        self._path.changed.connect(changed)
        self._folder.changed.connect(self._ask_folder)
        self._files.changed.connect(self._ask_files)

    @property
    def open_images(self) -> bool:
        """Whether open images are segmented."""
        return bool(self.what.value == OPEN)

    @property
    def given(self) -> list[str]:
        """The files, folders and patterns; an `InputError` if there is none."""
        text = self._path.value.strip()
        if not text:
            raise InputError(
                "No images are chosen: press Folder or Files beside Images, or type a pattern."
            )
        return list(self._chosen) if text == BETWEEN.join(self._chosen) else [text]

    @property
    def beside(self) -> str:
        """A folder for the results, beside the one that is chosen; "" without one."""
        chosen = self._chosen[0] if len(self._chosen) == 1 else ""
        folder = bool(chosen) and Path(chosen).is_dir() and self._path.value == chosen
        return f"{chosen.rstrip('/')}_segmented" if folder else ""

    def choose(self, paths: Sequence[str]) -> None:
        """Take files or folders."""
        self._chosen = list(paths)
        self.what.value = FILES
        self._path.value = BETWEEN.join(self._chosen)

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self._path.native, "Images to segment")
        if path:
            self.choose([path])

    def _ask_files(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self._path.native, "Images to segment")
        if paths:
            self.choose(paths)
