"""What we note with a layer, in its metadata: whose result it shows, what its labels mean."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from napari.layers import Image, Labels

from napari_unet.core.annotation import Meaning
from napari_unet.core.linking import Kind

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = [
    "METADATA",
    "Meaning",
    "ResultKind",
    "belongs_to",
    "entry",
    "is_linked",
    "is_outdated",
    "is_result",
    "last_linked",
    "link",
    "linked_planes",
    "mark_result",
    "meaning_of",
    "note",
    "note_linked_planes",
    "note_outdated",
    "set_meaning",
]

METADATA = "napari_unet"
"""Key of our entry in ``layer.metadata``."""

L = TypeVar("L", bound="Layer")

_links = count()  # orders links, so that the last one is known

ResultKind = Literal[
    "segmentation", "probability", "weights", "preview", "uncertainty", "errors", "tracks"
]


def entry(layer: Layer) -> dict[str, Any]:
    """Return what is noted with a layer; `note` changes it, and so that listeners are told."""
    noted: dict[str, Any] = layer.metadata.get(METADATA, {})
    return noted


def note(layer: Layer, **values: Any) -> None:
    """Note something with a layer, beside what is noted already; napari's duplicates copy it."""
    layer.metadata = dict(layer.metadata) | {METADATA: entry(layer) | values}


def mark_result(layer: Layer, kind: ResultKind, image: Image) -> None:
    """Write into a layer that it shows what we computed for an image."""
    identities = {"image": _identity(image), "shown_in": _identity(layer)}
    note(layer, result=kind, **identities, planes=None, outdated=False)


def note_outdated(layer: Layer) -> None:
    """Note with a result that what it is about has changed since."""
    if not is_outdated(layer):
        note(layer, outdated=True)


def is_outdated(layer: Layer) -> bool:
    """Whether what a result is about has changed since."""
    return bool(entry(layer).get("outdated"))


def note_linked_planes(layer: Labels, into: Kind) -> None:
    """Note with a result that its objects keep their numbers through the planes."""
    note(layer, planes=into)


def linked_planes(layer: Labels) -> Kind | None:
    """Return what the planes of a result are linked into, if they are."""
    into: Kind | None = entry(layer).get("planes")
    return into


def is_result(layer: Layer, kind: ResultKind | None = None, image: Image | None = None) -> bool:
    """Whether we show something in a layer: of a kind, for an image.

    A duplicate of such a layer is the user's own: it can be corrected and trained from.
    """
    noted = entry(layer)
    return (
        noted.get("shown_in") == _identity(layer)
        and (kind is None or noted.get("result") == kind)
        and (image is None or noted.get("image") == _identity(image))
    )


def meaning_of(layer: Labels) -> Meaning:
    """Return what the numbers of a labels layer say; "instances" unless told otherwise."""
    meaning: Meaning = entry(layer).get("meaning", "instances")
    return meaning


def set_meaning(layer: Labels, meaning: Meaning) -> None:
    """Keep what the numbers of a labels layer say with the layer; doubts may be raised anew."""
    note(layer, meaning=meaning, answered=())


def link(layer: Layer, image: Image) -> None:
    """Remember with labels, or with training regions, which image they are drawn on."""
    note(layer, image=_identity(image), drawn_in=_identity(layer), linked=next(_links))


def belongs_to(layer: Layer, image: Image) -> bool:
    """Whether a layer, or what it is a duplicate of, is drawn on an image or shows its result."""
    return bool(entry(layer).get("image") == _identity(image))


def is_linked(layer: Layer, image: Image) -> bool:
    """Whether a layer was made for an image, or was trained on with it.

    A duplicate of such a layer was not, nor was one of a result.
    """
    noted = entry(layer)
    return bool(
        noted.get("image") == _identity(image) and noted.get("drawn_in") == _identity(layer)
    )


def last_linked(layers: Iterable[L], image: Image) -> L | None:
    """Return the layer that was made for an image last, or trained on with it last."""
    linked = (layer for layer in layers if is_linked(layer, image))
    return max(linked, key=lambda layer: int(entry(layer)["linked"]), default=None)


def _identity(layer: Layer) -> str:
    # not the layer itself: napari copies metadata deeply when it duplicates a layer
    return str(layer.unique_id)
