"""Offer back what a session had that did not end well."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels

from napari_unet.engine.saving.folders import default_root, is_running, mark, saved_sessions
from napari_unet.engine.saving.labels import read_labels, versions
from napari_unet.engine.saving.session import (
    MODEL,
    RECORD,
    SavedImage,
    SavedLabels,
    SavedSession,
    State,
    read_json,
)
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError, ModelFileError
from napari_unet.viewer.learning.history import Version
from napari_unet.viewer.learning.record import Record
from napari_unet.viewer.notes import link
from napari_unet.viewer.saving.savedlayers import add_labels, find_image, put_where_it_was
from napari_unet.viewer.saving.savedregions import add_regions
from napari_unet.viewer.stack import finest

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.viewer.session import Session

__all__ = ["Saved", "dismiss", "found", "restore"]

_log = logging.getLogger(__name__)

REGIONS = "training regions"


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """A session that did not end well.

    Attributes
    ----------
    folder : Path
        Where it is saved.
    session : SavedSession
        What it had.
    """

    folder: Path
    session: SavedSession

    @property
    def labels(self) -> tuple[SavedLabels, ...]:
        """The labels layers with anything painted."""
        return tuple(layer for layer in self.session.labels if layer.parts)

    @property
    def time(self) -> str:
        """When it was saved last: "14:03", "Fri 14:03" or "3 Nov 14:03"."""
        saved = datetime.datetime.fromtimestamp(self.session.saved).astimezone()
        days = (datetime.datetime.now().astimezone().date() - saved.date()).days
        if days == 0:
            return f"{saved:%H:%M}"
        return f"{saved:%a %H:%M}" if 0 < days < 7 else f"{saved.day} {saved:%b %H:%M}"

    @property
    def description(self) -> str:
        """What was saved: "Fri 14:03, 2 labels layers (a.tif, 34 cells; b.tif, 1 cell), model"."""
        about = "; ".join(_about(layer) for layer in self.labels)
        layers = [f"{_layers(len(self.labels))} ({about})"] if self.labels else []
        regions = [REGIONS] if self.session.regions else []
        models = ["model"] if self.session.model is not None else []
        return ", ".join([self.time, *layers, *regions, *models])

    @property
    def sentence(self) -> str:
        """The same for somebody who does not expect it."""
        n, models = len(self.labels), int(self.session.model is not None)
        regions = [REGIONS] if self.session.regions else []
        *first, last = [*[_layers(n)] * bool(n), *regions, *["a model"] * models]
        things = f"{', '.join(first)} and {last}" if first else last
        verb = "was" if n + models == 1 and not regions else "were"
        return f"Live U-Net did not close properly at {self.time}: {things} {verb} saved."


def found(root: Path | None = None) -> list[Saved]:
    """Return the sessions that were not closed, and whose process is gone; newest first.

    What cannot be read is logged and left where it is.

    Parameters
    ----------
    root : path, optional
        Where sessions are saved; by default `default_root`.
    """
    sessions = (Saved(*found) for found in saved_sessions(root or default_root()))
    return [
        saved
        for saved in sessions
        if saved.session.state == "open"
        and (saved.labels or saved.session.regions or saved.session.model)
        and not is_running(saved.session)
    ]


def dismiss(saved: Saved) -> None:
    """Offer a session no more; its folder is kept for a while.

    Raises
    ------
    InputError
        If that cannot be noted.
    """
    _mark(saved, "dismissed")


def restore(viewer: ViewerModel, session: Session, saved: Saved) -> list[str]:
    """Bring back what a session had, beside whatever is open.

    Parameters
    ----------
    viewer : napari viewer
        Gets the labels layers and training regions, and their images if these are not open.
    session : Session
        Gets the model, unless there is one already, with its curves, and the earlier models.
    saved : Saved
        What is brought back.

    Returns
    -------
    list of str
        A sentence for each thing that did not come back as it was.

    Raises
    ------
    JobError
        If a job is running: a training would go over the model and its curves. Nothing is changed.
    """
    session.jobs.require_idle("Restoring")
    pairs: list[tuple[Labels, SavedLabels]] = []
    complaints = [*_restore_labels(viewer, saved, pairs), *_restore_models(session, saved)]
    try:
        for layer, labels in pairs:
            image, complaint = _open_image(viewer, labels.image)
            complaints.append(complaint)
            if image is not None:
                link(layer, image)
        complaints += _restore_regions(viewer, session, saved)
    finally:  # whatever happens to the images, the labels are back
        try:
            _mark(saved, "restored")
        except InputError as error:
            complaints.append(str(error))
    if pairs:
        viewer.layers.selection.active = pairs[0][0]
    return [one for one in dict.fromkeys(complaints) if one]  # several are of one image


def _restore_labels(
    viewer: ViewerModel, saved: Saved, pairs: list[tuple[Labels, SavedLabels]]
) -> Iterator[str]:
    for labels in saved.labels:
        try:
            read = read_labels(
                saved.folder / labels.folder, labels.shape, labels.dtype, labels.parts
            )
            pairs.append((add_labels(viewer, labels, read.pixels), labels))
        except (InputError, ValueError, MemoryError) as error:  # too large for this machine
            yield f"Labels {labels.name!r} were not restored: {error}. They are in {saved.folder}."
            continue
        if read.older:
            yield (
                f"{read.older} of {labels.parts} parts of labels {labels.name!r} were damaged; "
                f"they were restored as they were one save earlier: check what you painted last."
            )
        if read.lost:
            yield (
                f"{read.lost} of {labels.parts} parts of labels {labels.name!r} could not be read "
                f"and are empty. Their files are in {saved.folder / labels.folder}."
            )
        if labels.partial:
            yield (
                f"Of labels {labels.name!r} only what was painted is restored; the rest is where "
                f"it was loaded from."
            )


def _restore_regions(viewer: ViewerModel, session: Session, saved: Saved) -> Iterator[str]:
    for regions in saved.session.regions:
        image, complaint = _open_image(viewer, regions.image)
        yield complaint
        try:
            layer = add_regions(viewer, regions, image)
        except InputError as error:
            yield f"Training regions {regions.name!r} were not restored: {error}"
            continue
        for other in regions.others:
            image, complaint = _open_image(viewer, other)
            yield complaint
            session.regions.put(image, layer)


def _restore_models(session: Session, saved: Saved) -> Iterator[str]:
    for model in saved.session.history:
        try:
            made = datetime.datetime.fromisoformat(model.time)
            segmenter = Segmenter.load(saved.folder / model.file)
        except (ModelFileError, ValueError) as error:
            _log.warning("An earlier model was not restored: %s", error)
        else:
            session.history.add(Version(segmenter, model.summary, made))
    if saved.session.model is None:
        return
    if session.segmenter is not None:
        yield f"There is a model already; the saved one is {saved.folder / MODEL}: load it there."
        return
    try:
        session.record = _record(read_json(saved.folder / RECORD))
    except InputError as error:
        _log.warning("The curves were not restored: %s", error)
    yield from _restore_model(session, saved.folder / saved.session.model)
    session.told.emit()


def _restore_model(session: Session, path: Path) -> Iterator[str]:
    complaints = []
    for version in versions(path):
        try:
            session.segmenter = Segmenter.load(version)
        except ModelFileError as error:
            complaints.append(str(error))
            continue
        if complaints:
            yield f"The saved model was damaged ({complaints[0]}); an earlier one was restored."
        return
    yield f"The model was not restored: {complaints[0]} Train again on the restored labels."


def _record(content: dict[str, Any]) -> Record:
    """Return the curves, without what this version of the program would not know."""
    empty = asdict(Record())
    return Record(
        **{
            name: content[name]
            for name, value in empty.items()
            if name in content and (value is None or isinstance(content[name], type(value)))
        }
    )


def _open_image(viewer: ViewerModel, saved: SavedImage | None) -> tuple[Image | None, str]:
    """Find the image that labels belong to, or open its file; return it and what went wrong."""
    image = find_image(viewer, saved)
    if saved is None or image is not None:
        return image, ""
    if saved.path is None or not Path(saved.path).exists():
        no_file = "it did not come from a file"
        where = no_file if saved.path is None else f"{saved.path} is not there"
        return None, f"Image {saved.name!r} could not be opened again ({where}): open it yourself."
    try:
        opened = viewer.open(saved.path, plugin=saved.reader or "napari")
    except Exception as error:  # noqa: BLE001 (a reader is anybody's program)
        return None, f"Image {saved.path} could not be opened again ({error}): open it yourself."
    for layer in reversed(opened):  # below the labels
        viewer.layers.move(viewer.layers.index(layer), 0)
    fitting = (layer for layer in opened if tuple(finest(layer).shape) == saved.shape)
    image = find_image(viewer, saved) or next(fitting, None)
    if image is not None:
        put_where_it_was(image, saved)
    changed = f"{saved.path} no longer holds an image of shape {saved.shape}."
    return image, "" if image is not None else changed


def _mark(saved: Saved, state: State) -> None:
    try:
        mark(saved.folder, state)
    except OSError as error:
        raise InputError(
            f"Could not record in {saved.folder} that this session was {state} ({error}); "
            f"it will be offered again. Delete the folder if you do not need it."
        ) from error


def _layers(n: int) -> str:
    return "1 labels layer" if n == 1 else f"{n} labels layers"


def _about(labels: SavedLabels) -> str:
    name = labels.name if labels.image is None else labels.image.name
    if labels.image is not None and labels.image.path is not None:
        name = Path(labels.image.path).name
    thing = "class" if labels.meaning == "classes" else "cell"
    plural = "" if labels.cells == 1 else "es" if thing == "class" else "s"
    return f"{name}, {labels.cells} {thing}{plural}"
