"""The outlines of objects as files: ROIs of ImageJ (.zip), or GeoJSON for QuPath (.geojson)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np

from napari_unet.core.outlines import Outline, Piece
from napari_unet.engine.atomic import write_atomically
from napari_unet.errors import InputError

if TYPE_CHECKING:
    from roifile import ImagejRoi

__all__ = ["OUTLINES", "OutlinedPlane", "check_outline_writer", "place_along", "write_outlines"]

IMAGEJ, GEOJSON = ".zip", ".geojson"
OUTLINES = {"imagej": IMAGEJ, "geojson": GEOJSON}
"""The formats, and their endings."""

MOVE, LINE, CLOSE = 0.0, 1.0, 4.0
"""The steps of a path, as Java numbers them."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class OutlinedPlane:
    """The objects of a plane.

    Attributes
    ----------
    objects : iterable of (Outline, str)
        Their outlines in pixels of the image, and the names of their classes, or "".
    place : dict of str to int
        Where the plane lies along "t" and "z", from 0; empty of an image of one plane.
    """

    objects: Iterable[tuple[Outline, str]]
    place: Mapping[str, int] = field(default_factory=dict)


def place_along(axes: str, index: Sequence[int]) -> dict[str, int]:
    """Return where a plane lies along "t" and "z".

    Parameters
    ----------
    axes : str
        A letter for each axis of planes, the slowest first: "T", "Z", "TZ", "ZT". Of other names,
        the last one counts as z and the one before as t.
    index : sequence of int
        Where the plane lies along them. What comes before the last two is left out.
    """
    last = axes[-2:].lower()
    names = last if last in ("t", "z", "tz", "zt") else "tz"[-len(last) :]
    return dict(zip(names, index[-2:], strict=True)) if axes else {}


def check_outline_writer(suffix: str) -> None:
    """Raise `InputError` for another suffix, and where a package is missing."""
    if suffix not in (IMAGEJ, GEOJSON):
        raise InputError(
            f"Outlines are written as ROIs of ImageJ ({IMAGEJ}) or as {GEOJSON}, not as "
            f"{suffix or 'a file without ending'}; choose one of these endings."
        )
    if suffix == IMAGEJ:
        try:
            import roifile  # noqa: F401
        except ImportError as error:
            raise InputError(
                f"ROIs of ImageJ are written with a package that is not installed ({error}); run: "
                f'pip install "napari-live-unet[export]", or write {GEOJSON}.'
            ) from error


def write_outlines(path: Path, planes: Iterable[OutlinedPlane]) -> None:
    """Write outlines; the file is complete, or the old one is still there.

    In ImageJ, an object of several pieces or with holes is a composite; in a stack, a name begins
    with the numbers of its plane. QuPath takes the objects as detections.

    Parameters
    ----------
    path : Path
        Its suffix tells the format.
    planes : iterable of OutlinedPlane
        Taken one by one.

    Raises
    ------
    InputError
        For another suffix, or where a package is missing.
    OSError
        If it cannot be written.
    """
    check_outline_writer(path.suffix)
    write = _write_imagej if path.suffix == IMAGEJ else _write_geojson
    write_atomically(path, lambda file: write(file, planes))


def _write_imagej(file: BinaryIO, planes: Iterable[OutlinedPlane]) -> None:
    with ZipFile(file, "w", ZIP_DEFLATED) as rois:
        for plane in planes:
            numbers = "".join(f"{axis}{n + 1:04d}-" for axis, n in plane.place.items())
            for outline, kind in plane.objects:
                name = f"{numbers}{outline.label:04d}"
                name += f"-{kind.replace('/', '_')}" if kind else ""
                rois.writestr(f"{name}.roi", _roi(outline, name, plane.place).tobytes())


def _roi(outline: Outline, name: str, place: Mapping[str, int]) -> ImagejRoi:
    from roifile import ROI_TYPE, ImagejRoi

    rings = [ring for piece in outline.pieces for ring in (piece.outer, *piece.holes)]
    corners = np.concatenate(rings)[:, ::-1]
    where: dict[str, Any] = {**place}
    if len(place) == 1:  # ImageJ counts the planes of a simple stack
        where = {"position": next(iter(place.values()))}
    roi = ImagejRoi.frompoints(corners, name=name, **where)
    roi.roitype = ROI_TYPE.TRACED
    roi.right, roi.bottom = roi.right - 1, roi.bottom - 1  # those were corners, not pixels
    if len(rings) > 1:
        roi.roitype = ROI_TYPE.RECT
        roi.multi_coordinates = np.concatenate([_path(ring[:, ::-1]) for ring in rings])
        roi.shape_roi_size = len(roi.multi_coordinates)
        roi.integer_coordinates, roi.n_coordinates = None, 0
    return roi


def _path(corners: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a closed path: a kind of step and x and y for each corner, then the end."""
    kinds = np.full((len(corners), 1), LINE)
    kinds[0] = MOVE
    steps = np.hstack([kinds, corners]).ravel()
    return np.append(steps, CLOSE).astype(np.float32)


def _write_geojson(file: BinaryIO, planes: Iterable[OutlinedPlane]) -> None:
    features = chain.from_iterable(_features(plane) for plane in planes)
    file.write(b'{"type": "FeatureCollection", "features": [')
    for number, feature in enumerate(features):
        file.write((",\n" if number else "\n").encode() + json.dumps(feature).encode())
    file.write(b"\n]}\n")


def _features(plane: OutlinedPlane) -> Iterator[dict[str, Any]]:
    """Yield the objects of a plane; ``plane`` is where QuPath looks for z and t."""
    place = {"plane": {"c": -1, "z": 0, "t": 0, **plane.place}} if plane.place else {}
    for outline, kind in plane.objects:
        polygons = [_closed(piece) for piece in outline.pieces]
        one = len(polygons) == 1
        geometry = {
            "type": "Polygon" if one else "MultiPolygon",
            "coordinates": polygons[0] if one else polygons,
            **place,
        }
        about: dict[str, Any] = {"objectType": "detection", "name": str(outline.label)}
        if kind:
            about["classification"] = {"name": kind}
        yield {"type": "Feature", "geometry": geometry, "properties": about}


def _closed(piece: Piece) -> list[list[list[int]]]:
    """Return rings of (x, y), each with its first corner at the end again."""
    rings = (piece.outer, *piece.holes)
    return [[*xy, xy[0]] for xy in (ring[:, ::-1].tolist() for ring in rings)]
