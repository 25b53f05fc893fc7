"""The units of work of a plane that is too large for memory: blocks, which any process may do.

All blocks of a plane are predicted, then the cells of all blocks are found; what is known so far
lies in the scratch folder of the item. See `napari_unet.engine.blocks`.
"""

from __future__ import annotations

from collections.abc import Sequence

from napari_unet.core.islands import Box
from napari_unet.engine.blocks import find_blocks, predict_block
from napari_unet.engine.items.order import Order
from napari_unet.engine.items.scratch import Steps, note_of, opened, plane_of
from napari_unet.engine.planestore import PlaneStore
from napari_unet.engine.segmenter import Segmenter

__all__ = ["find_part", "predict_part"]


def predict_part(
    segmenter: Segmenter, order: Order, plane: int, store: PlaneStore, box: Box
) -> Steps:
    """Predict a block of a plane."""
    if store.is_predicted(box):
        return None
    pixels = plane_of(opened(order), plane)
    predict_block(store, segmenter, pixels, box, order.config)
    yield 1.0, note_of(order, store.oddity)
    return None


def find_part(segmenter: Segmenter, order: Order, store: PlaneStore, boxes: Sequence[Box]) -> Steps:
    """Find the cells of some blocks of a plane, all of whose blocks are predicted."""
    left = [box for box in boxes if store.first_pixels(box) is None]
    for done, _ in enumerate(find_blocks(store, segmenter, left, order.config), start=1):
        yield done / len(left), ""
    return None
