"""Which images a batch takes: all that are open, or files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from magicgui.widgets import ComboBox, LineEdit
from qtpy.QtWidgets import QFileDialog

from napari_unet.errors import InputError
from napari_unet.widgets.parts import button, narrow, row

__all__ = ["OPEN", "BatchSource"]

OPEN, FILES = "all open images", "files or a folder"
BETWEEN = "; "
MOST = 2**31 - 1
"""Characters that are taken: Qt's own limit, of 32 767, is that of some 500 files."""


class BatchSource:
    """Chooses open images, files, a folder, or a pattern that files match.

    Parameters
    ----------
    changed : callable
        Called after each choice.
    """

    def __init__(self, changed: Callable[[], object]) -> None:
        self._changed = changed
        self.what = narrow(ComboBox(label="Segment", choices=[OPEN, FILES]))
        self.what.tooltip = "All open image layers with all their planes, or images on disk."
        self._path = LineEdit()
        self._path.tooltip = (
            "A folder (with its subfolders), a file, or a pattern such as plates/*/*.tif. TIFF, "
            "OME-TIFF, OME-Zarr, PNG, JPEG, BMP, and whatever an installed napari reader opens."
        )
        self._path.native.setMaxLength(MOST)
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
        self.boxes = self.what, self._path
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
        return [text] if os.path.exists(text) else text.split(BETWEEN)  # noqa: PTH110 (of any length)

    @property
    def beside(self) -> str:
        """A folder for the results, beside the one that is chosen; "" without one."""
        folder = self._path.value.strip()
        return f"{folder.rstrip('/')}_segmented" if os.path.isdir(folder) else ""  # noqa: PTH112

    def choose(self, paths: Sequence[str]) -> None:
        """Take files or folders."""
        self.what.value = FILES
        self._path.value = BETWEEN.join(paths)

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self._path.native, "Images to segment")
        if path:
            self.choose([path])

    def _ask_files(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self._path.native, "Images to segment")
        if paths:
            self.choose(paths)
