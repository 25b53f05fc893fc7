"""What is odd about the grey values of what a job segments, and where."""

from __future__ import annotations

from collections.abc import Iterable

from napari_unet.viewer.stack import PlaneIndex

__all__ = ["Oddities", "plane_title"]


class Oddities:
    """Collects what the engine says of planes; ``str()`` names the first and counts the others."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, ...], str] = {}

    def add(self, where: Iterable[str], oddity: str) -> None:
        """Take in what is odd, if anything.

        Parameters
        ----------
        where : iterable of str
            The titles of the image and of the plane, as far as there are several.
        oddity : str
            A sentence, or "".
        """
        if oddity:
            self._told.setdefault(tuple(where), oddity)

    def __str__(self) -> str:
        """Say it after another sentence, with a blank before; "" where nothing is odd."""
        if not self._told:
            return ""
        where, oddity = next(iter(self._told.items()))
        title = ", ".join(where)
        said = f" {title[0].upper()}{title[1:]}: {oddity}" if title else f" {oddity}"
        more = len(self._told) - 1
        return said + f" Grey values are odd in {more} more plane{'s' * (more > 1)}." * (more > 0)


def plane_title(index: PlaneIndex) -> str:
    """Return a plane by the numbers of its sliders."""
    return f"plane {', '.join(map(str, index))}"
