"""What a session had when it was saved last, whose it was, and how it ended: ``session.json``."""

from __future__ import annotations

import json
import platform
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import psutil

from napari_unet.engine.saving.labels import versions, write_rotating
from napari_unet.errors import InputError

__all__ = [
    "MODEL",
    "RECORD",
    "SavedImage",
    "SavedLabels",
    "SavedModel",
    "SavedRegions",
    "SavedSession",
    "State",
    "read_json",
    "read_session",
    "write_json",
    "write_session",
]

FORMAT = 1
"""Version of the folder's meaning; another one is refused, never guessed at."""

MODEL, RECORD, SESSION = "model.safetensors", "record.json", "session.json"

State = Literal["open", "closed", "restored", "dismissed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedImage:
    """The image that labels belong to: its name, shape, file, who read that, and where it lies."""

    name: str
    shape: tuple[int, ...]
    path: str | None = None
    reader: str | None = None
    spatial: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what no session wrote; raises TypeError or ValueError."""
        object.__setattr__(self, "shape", tuple(self.shape))  # JSON made it a list
        _require(str, self.name)
        _require((str, type(None)), self.path, self.reader)
        _require(dict, self.spatial)
        _require_counts(*self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedLabels:
    """A labels layer.

    Attributes
    ----------
    name : str
        Of the layer.
    folder : str
        Where its pieces are, inside the folder of the session.
    shape, dtype : tuple of int, str
        Of its data.
    meaning : str
        What its numbers say.
    entry : dict
        What the program notes with the layer.
    spatial : dict
        Scale, translation, units, ...
    image : SavedImage or None
        What it is painted on.
    partial : bool
        Whether only what was painted is saved: the data is no array in memory.
    parts, cells : int
        How many pieces are saved, and how many different cells or classes are in them.
    """

    name: str
    folder: str
    shape: tuple[int, ...]
    dtype: str
    meaning: str
    entry: dict[str, Any]
    spatial: dict[str, Any]
    image: SavedImage | None = None
    partial: bool = False
    parts: int = 0
    cells: int = 0

    def __post_init__(self) -> None:
        """Refuse what no session wrote; raises TypeError or ValueError."""
        object.__setattr__(self, "shape", tuple(self.shape))
        _require(str, self.name, self.folder, self.dtype, self.meaning)
        _require(dict, self.entry, self.spatial)
        _require(bool, self.partial)
        _require_counts(*self.shape, self.parts, self.cells)
        if len(self.shape) < 2 or np.dtype(self.dtype).kind not in "iu":
            raise ValueError(f"shape {self.shape}, dtype {self.dtype}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedRegions:
    """A layer of training regions.

    Attributes
    ----------
    name : str
        Of the layer.
    ndim : int
        How many axes it has.
    shapes : tuple of (str, list)
        Kind, and corners (N, ndim) as lists, of every shape.
    edge_width : float
        Of the lines.
    spatial : dict
        Scale, translation, units, ...
    image : SavedImage or None
        What it is drawn on.
    others : tuple of SavedImage
        Further images that it was chosen for.
    """

    name: str
    ndim: int
    shapes: tuple[tuple[str, list[list[float]]], ...]
    edge_width: float
    spatial: dict[str, Any]
    image: SavedImage | None = None
    others: tuple[SavedImage, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no session wrote; raises TypeError or ValueError."""
        shapes = tuple((kind, corners) for kind, corners in self.shapes)  # JSON made them lists
        object.__setattr__(self, "shapes", shapes)
        _require(str, self.name, *(kind for kind, _ in shapes))
        _require((int, float), self.edge_width)
        _require(dict, self.spatial)
        _require_counts(self.ndim)
        if any(np.asarray(corners, float).shape[1:] != (self.ndim,) for _, corners in shapes):
            raise ValueError(f"corners of shapes with {self.ndim} axes")


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedModel:
    """An earlier model: its file, when it was made (ISO 8601), and what was said of it."""

    file: str
    time: str
    summary: str

    def __post_init__(self) -> None:
        """Refuse what no session wrote; raises TypeError."""
        _require(str, self.file, self.time, self.summary)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedSession:
    """What a session had, and whose it was.

    Attributes
    ----------
    pid, created, node : int, float, str
        Process, when the system started it (seconds since 1970), and the machine's name.
    started, saved : float
        When the session began and was saved last, in seconds since 1970.
    state : {"open", "closed", "restored", "dismissed"}
        "open" unless it ended well or the user dealt with it.
    labels, regions : tuple of SavedLabels, tuple of SavedRegions
        The layers.
    model, history : str or None, tuple of SavedModel
        The file of the present model, the earlier models.
    """

    pid: int
    created: float
    node: str
    started: float
    saved: float
    state: State = "open"
    labels: tuple[SavedLabels, ...] = ()
    regions: tuple[SavedRegions, ...] = ()
    model: str | None = None
    history: tuple[SavedModel, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no session wrote; raises TypeError or ValueError."""
        _require(str, self.node, self.state)
        _require((str, type(None)), self.model)
        _require((int, float), self.created, self.started, self.saved)
        _require_counts(self.pid)
        if self.state not in get_args(State):
            raise ValueError(f"state {self.state!r}")
        if not all(0 <= seconds < 1e11 for seconds in (self.created, self.started, self.saved)):
            raise ValueError(f"times {self.created}, {self.started}, {self.saved}")
        files = [*(model.file for model in self.history), *(layer.folder for layer in self.labels)]
        if any(Path(name).name != name for name in [*files, self.model or MODEL]):
            raise ValueError(f"names of files {files}, {self.model!r}")

    @classmethod
    def of_this_process(cls) -> SavedSession:
        """Return the session of this process, that nothing is saved of yet."""
        now, process = time.time(), psutil.Process()
        return cls(
            pid=process.pid,
            created=process.create_time(),
            node=platform.node(),
            started=now,
            saved=now,
        )


def write_session(folder: Path, session: SavedSession) -> None:
    """Write what a session has; raises OSError."""
    write_json(folder / SESSION, asdict(session))


def read_session(folder: Path) -> SavedSession:
    """Read what a session had, from the newest version that is whole.

    Raises
    ------
    InputError
        If none is.
    """
    content = read_json(folder / SESSION)
    try:
        labels = tuple(SavedLabels(**_with_image(layer)) for layer in content.pop("labels"))
        drawn = content.pop("regions", ())  # which were not saved once
        regions = tuple(SavedRegions(**_with_image(layer)) for layer in drawn)
        history = tuple(SavedModel(**model) for model in content.pop("history"))
        return SavedSession(labels=labels, regions=regions, history=history, **content)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InputError(
            f"The saved session in {folder} cannot be read ({error}). Its labels are the npz "
            f"files there."
        ) from error


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a dictionary, keeping older versions; raises OSError."""
    text = json.dumps({"format": FORMAT, **content}, indent=1)
    write_rotating(path, lambda file: file.write(text.encode()))


def read_json(path: Path) -> dict[str, Any]:
    """Read a dictionary, from the newest version that is whole.

    Raises
    ------
    InputError
        If none is.
    """
    for version in versions(path):
        try:
            content = json.loads(version.read_bytes())
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(content, dict) and content.pop("format", None) == FORMAT:
            return content
    raise InputError(f"There is no readable {path.name} of format {FORMAT} in {path.parent}.")


def _with_image(layer: dict[str, Any]) -> dict[str, Any]:
    image = layer["image"]
    read = {**layer, "image": None if image is None else SavedImage(**image)}
    if "others" in layer:
        read["others"] = tuple(SavedImage(**other) for other in layer["others"])
    return read


def _require(kind: type | tuple[type, ...], *values: object) -> None:
    for value in values:
        if not isinstance(value, kind):
            raise TypeError(f"{value!r}")


def _require_counts(*values: object) -> None:
    for value in values:
        if type(value) is not int or not 0 <= value < 2**31:
            raise ValueError(f"{value!r}")
