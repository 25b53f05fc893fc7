"""What a reader knows about the array in a file: its axes, and the size of its pixels."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = [
    "MICROMETRES",
    "UNITS",
    "UNKNOWN",
    "AnyPath",
    "PixelSize",
    "Source",
    "length_unit",
    "seconds_in",
    "silent_axes",
    "with_known_axes",
]

AnyPath: TypeAlias = str | os.PathLike[str]
"""Of a file or a folder, as anybody may give it."""

UNITS = {
    "angstrom": ("Å", "å"),
    "centimeter": ("cm",),
    "meter": ("m",),
    "micrometer": ("µm", "μm", "um", "micron", "microns", "\\u00b5m", "micrometers"),
    "millimeter": ("mm",),
    "nanometer": ("nm",),
    "picometer": ("pm",),
}
"""Units of length as OME-Zarr writes them, as OME-XML does, and as others do.

Inches are none: they come from the dots per inch of a printer, which ImageJ takes for a scale.
"""

MICROMETRES = {
    "picometer": 1e-6,
    "angstrom": 1e-4,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
}

NAMES = {short: name for name, others in UNITS.items() for short in (name, *others)}

SECONDS = {
    1e-9: ("nanosecond", "ns"),
    1e-6: ("microsecond", "µs", "us"),
    1e-3: ("millisecond", "ms", "msec"),
    1.0: ("second", "s", "sec", "seconds"),
    60.0: ("minute", "min", "minutes"),
    3600.0: ("hour", "h", "hr", "hours"),
    86400.0: ("day", "d", "days"),
}
"""How long units of time are, as OME-Zarr writes them, as OME-XML does, and as others do."""


def seconds_in(unit: object) -> float:
    """Return how long a unit of time is, however it is written; 0 if it is none."""
    written = str(unit).strip()
    return next((seconds for seconds, names in SECONDS.items() if written in names), 0.0)


def length_unit(text: object) -> str:
    """Return the name of a unit of length however it is written; "" if it is none."""
    written = str(text).strip()
    return NAMES.get(written) or NAMES.get(written.lower(), "")


def silent_axes(shape: tuple[int, ...]) -> str:
    """Return a letter for each axis of an array of which its file says nothing.

    Rows and columns are the last two; but 1, 3 or 4 values behind them are the samples of grey or
    coloured pixels. All else is planes.
    """
    planes = len(shape) - 2
    if planes > 0 and shape[-1] in (1, 3, 4) and min(shape[-3:-1]) > 4:
        return "Q" * (planes - 1) + "YXS"
    return "Q" * planes + "YX"[-len(shape) :]


def with_known_axes(axes: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Call all planes Z where OME has no names for their axes, or the names do not fit the shape.

    Parameters
    ----------
    axes : str
        A letter for each axis: C or not, planes, Y and X.
    shape : tuple of int
        The sizes of all axes; C, if there is one, is the first.
    """
    planes = axes[:-2].removeprefix("C")
    first = len(axes[:-2]) - len(planes)
    named = set(planes) <= {*"TZ"} and len(set(planes)) == len(planes)
    if named and len(axes) == len(shape):
        return axes, shape
    flat = (*shape[:first], math.prod(shape[first:-2]), *shape[-2:])
    return "C" * first + "ZYX", flat


@dataclass(frozen=True, slots=True)
class PixelSize:
    """How large a pixel is.

    Attributes
    ----------
    yx : (float, float) or None
        Height and width; None where not known.
    unit : str
        Of all three: "micrometer"; "" where not known.
    z : float or None
        From plane to plane of a Z axis; None where not known.
    frame : float or None
        Seconds from frame to frame of a T axis; None where not known.
    """

    yx: tuple[float, float] | None = None
    unit: str = ""
    z: float | None = None
    frame: float | None = None

    @classmethod
    def of(
        cls, y: float, x: float, unit: str, z: float = math.nan, frame: float = math.nan
    ) -> PixelSize:
        """Make one of numbers that may make no sense."""
        depth, seconds = (n if math.isfinite(n) and n > 0 else None for n in (z, frame))
        if not all(math.isfinite(side) and side > 0 for side in (y, x)):
            return cls(frame=seconds)
        return cls((y, x), unit, depth, seconds)

    @property
    def width(self) -> float:
        """Side in micrometres of a square pixel of the same area; 0 where not known."""
        sides = (0.0, 0.0) if self.yx is None else self.yx
        return math.sqrt(math.prod(sides)) * MICROMETRES.get(self.unit, 0.0)

    @property
    def z_in_pixels(self) -> float | None:
        """From plane to plane, in sides of such a square pixel; None where not known."""
        if self.yx is None or self.z is None:
            return None
        return self.z / math.sqrt(math.prod(self.yx))


UNKNOWN = PixelSize()
"""Of a file that says nothing, or what makes no sense."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """An array in a file.

    Attributes
    ----------
    data : array
        Read region by region, or NumPy.
    axes : str
        A letter for each axis: Y, X, C channels, S samples of a colour pixel; all others are
        planes, such as Z and T; Q where the file does not say what they are.
    limits : mapping of int to int
        Axes that end before their end: colours without their alpha.
    size : PixelSize
        How large a pixel is.
    """

    data: Any
    axes: str
    limits: Mapping[int, int] = field(default_factory=dict)
    size: PixelSize = UNKNOWN
