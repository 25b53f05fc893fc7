"""The models of a session, one after the other: what each was trained on, and how good it was."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field

from psygnal import Signal

from napari_unet.engine.segmenter import Segmenter

__all__ = ["History", "Version"]

MOST = 30
"""Versions that are kept; at 16 channels one takes about 2 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A model as a training left it.

    Attributes
    ----------
    segmenter : Segmenter
        The model.
    summary : str
        How good it is, in a few words: "SEG 0.81 -> 0.86 on 7 held-out cells".
    time : datetime
        When the training ended.
    """

    segmenter: Segmenter
    summary: str
    time: datetime.datetime = field(default_factory=lambda: datetime.datetime.now().astimezone())

    @property
    def trained_on(self) -> str:
        """What was labelled, in words."""
        return str(self.segmenter.provenance.get("labelled", "unknown labels"))


class History:
    """Versions of the model, oldest first."""

    changed = Signal()

    def __init__(self) -> None:
        self._versions: list[Version] = []

    def __len__(self) -> int:
        return len(self._versions)

    def __iter__(self) -> Iterator[Version]:
        return iter(list(self._versions))

    def __getitem__(self, index: int) -> Version:
        return self._versions[index]

    def add(self, version: Version) -> None:
        """Remember a version; the oldest are forgotten."""
        self._versions.append(version)
        del self._versions[:-MOST]
        self.changed.emit()
