"""What is odd about the grey values of what a job learns from or segments, and where."""

from __future__ import annotations

from collections.abc import Iterable

from napari_unet.viewer.stack import ImageStack, PlaneIndex, one_of

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
        others = f" Grey values are unusual in {more} more plane{'s' * (more > 1)}."
        return said + others * (more > 0)


def plane_title(stack: ImageStack, index: PlaneIndex) -> str:
    """Return a plane by the numbers of its sliders: "time point 1, z plane 3"."""
    names = [one_of(name).partition(" (")[0] for name in stack.leading_names]
    return ", ".join(f"{name} {number}" for name, number in zip(names, index, strict=True))
