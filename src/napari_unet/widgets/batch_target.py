"""What a batch makes: layers, or files in a folder; and whether objects are measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from magicgui.widgets import CheckBox, ComboBox, LineEdit
from qtpy.QtWidgets import QFileDialog

from napari_unet.engine.items.item import Link, Outlines
from napari_unet.errors import InputError
from napari_unet.widgets.link_panel import CHOICES
from napari_unet.widgets.parts import button, narrow, row

__all__ = ["BatchTarget"]

LAYERS, FOLDER = "layers", "files in a folder"
FORMATS: dict[str, Literal["auto", "tiff", "ome-zarr"]] = {
    "automatic": "auto",
    "TIFF": "tiff",
    "OME-Zarr": "ome-zarr",
}
LINKS: dict[str, Link] = {"no": "", **dict(CHOICES), "3D objects, all axes": "volume"}

OUTLINES: dict[str, Outlines] = {"no": "", "ROIs of ImageJ": "imagej", "QuPath objects": "geojson"}


class BatchTarget:
    """Chooses what becomes of the results.

    Parameters
    ----------
    changed : callable
        Called after each choice that changes what is to be asked.
    """

    def __init__(self, changed: Callable[[], object]) -> None:
        self.results = narrow(ComboBox(label="Results", choices=[LAYERS, FOLDER]))
        self.results.tooltip = (
            "Layers in the viewer, or files. Files can be larger than memory, and a stopped "
            "batch continues where it was."
        )
        self.folder = LineEdit()
        self.folder.tooltip = (
            "One file per image is written here, in the same subfolders as the images."
        )
        self._proposed = ""
        self._choose = button("Choose", "Choose or create the folder for the results.")
        self.folder_row = row(
            self.folder,
            self._choose,
            label="Save in",
            tooltip=self.folder.tooltip,
            stretch=(1, 0),
        )
        self.format = narrow(ComboBox(label="Format", choices=list(FORMATS)))
        self.format.tooltip = (
            "Automatic: OME-TIFF for TIFF, PNG and similar images; OME-Zarr for OME-Zarr images "
            "and for results too large for a TIFF."
        )
        self.link = narrow(ComboBox(label="Link planes", choices=list(LINKS)))
        self.link.tooltip = (
            "Whether an object keeps its number through the planes of a stack. 3D objects: "
            "objects that overlap from one plane to the next become one; all axes: XZ and YZ "
            "sections are segmented, too. Tracks: a cell keeps its number until it divides or "
            "leaves; tables of the tracks are also written."
        )
        self.outlines = narrow(ComboBox(label="Outlines", choices=list(OUTLINES)))
        self.outlines.tooltip = (
            "Also write the outline of every object, along its pixel edges, for ImageJ (.zip) or "
            "QuPath (.geojson). For a labels layer, File > Save Selected Layers does the same."
        )
        self.measure = CheckBox(text="Measure objects")
        self.measure.tooltip = (
            "Area, position and intensity of every object, and whether it touches the border: as "
            "CSV beside the files, or as features of the layers (Layers > Metadata)."
        )
        asked = (self.results, self.folder, self.format, self.link, self.outlines)
        self.boxes = (*asked, self.measure)
        self.results.changed.connect(changed)
        self._choose.changed.connect(self._ask_folder)

    @property
    def is_folder(self) -> bool:
        """Whether open images become files, too."""
        return bool(self.results.value == FOLDER)

    @property
    def path(self) -> str:
        """The folder; an `InputError` if there is none."""
        path: str = self.folder.value.strip()
        if not path:
            raise InputError("No folder for the results is chosen: press Choose beside Save in.")
        return path

    @property
    def file_format(self) -> Literal["auto", "tiff", "ome-zarr"]:
        """Of the files."""
        return FORMATS[self.format.value]

    @property
    def linked(self) -> Link:
        """What the planes of files are linked to."""
        return LINKS[self.link.value]

    @property
    def outlined(self) -> Outlines:
        """Which outlines are written beside files."""
        return OUTLINES[self.outlines.value]

    def propose(self, path: str) -> None:
        """Take a folder unless the user chose one."""
        if self.folder.value == self._proposed:
            self.folder.value = self._proposed = path

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self.folder.native, "Folder for the results")
        if path:
            self.folder.value = path
