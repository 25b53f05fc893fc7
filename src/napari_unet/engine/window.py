"""Run a network in training over a part of a normalised plane, as a segmentation would see it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from napari_unet.core.tiles import mirror_indices
from napari_unet.core.unet import UNet

__all__ = ["predict_window"]

LARGEST = 512
"""Side in network pixels of what is predicted at once."""


@torch.inference_mode()
def predict_window(
    network: UNet, image: torch.Tensor, box: tuple[slice, slice]
) -> NDArray[np.float32]:
    """Return the class probabilities of a box of a plane, equal to those of the whole plane.

    Parameters
    ----------
    network : UNet
        On the device of the image; left in evaluation mode.
    image : Tensor
        (C, Y, X), normalised, at the working resolution.
    box : (slice, slice)
        (Y, X) within the image.

    Returns
    -------
    float32 array
        (K, *box).
    """
    network.eval()
    y, x = box
    out = np.empty((network.n_classes, y.stop - y.start, x.stop - x.start), dtype=np.float32)
    for top in range(y.start, y.stop, LARGEST):
        for left in range(x.start, x.stop, LARGEST):
            bottom, right = min(top + LARGEST, y.stop), min(left + LARGEST, x.stop)
            part = _predict(network, image, (slice(top, bottom), slice(left, right)))
            out[:, top - y.start : bottom - y.start, left - x.start : right - x.start] = part
    return out


def _predict(network: UNet, image: torch.Tensor, box: tuple[slice, slice]) -> NDArray[np.float32]:
    half = network.context // 2
    indices, crop = [], []
    for span, n in zip(box, image.shape[1:], strict=True):
        # on the pooling grid of the whole plane, or the result would depend on the box
        start = span.start // network.stride * network.stride
        size = network.valid_size(span.stop - start + network.context)
        indices.append(mirror_indices(start - half, start - half + size, n))
        crop.append(slice(span.start - start, span.stop - start))
    pixels = image[:, indices[0]][:, :, indices[1]][None]
    logits = network(pixels.contiguous(memory_format=torch.channels_last))
    probabilities: NDArray[np.float32] = F.softmax(logits, dim=1)[0].cpu().numpy()
    return probabilities[(slice(None), *crop)]
