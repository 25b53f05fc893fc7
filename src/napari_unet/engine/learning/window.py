"""Run a network in training over a part of a normalised plane, as a segmentation would see it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from napari_unet.core.resolution import coarse_box, read_coarse, refine
from napari_unet.core.tiles import lengths, mirror_indices, parts_of, within
from napari_unet.core.unet import UNet
from napari_unet.engine.lazyplane import Readable

__all__ = ["predict_piecewise", "predict_window"]

Box = tuple[slice, slice]

LARGEST = 384
"""Side in network pixels of what is predicted at once."""


def predict_window(
    network: UNet, image: torch.Tensor, box: Box, factors: Sequence[int] = ()
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
    factors : sequence of int
        Of the coarser resolutions that are averaged, see `Segmenter.coarser_factors`.

    Returns
    -------
    float32 array
        (K, *box).
    """
    out = np.empty((network.n_classes, *lengths(box)), dtype=np.float32)
    for _ in predict_piecewise(network, image, box, out, factors):
        pass
    return out


def predict_piecewise(
    network: UNet,
    image: torch.Tensor,
    box: Box,
    out: NDArray[np.float32],
    factors: Sequence[int],
) -> Iterator[None]:
    """Write what `predict_window` returns into ``out``, from the middle outward.

    Yields
    ------
    None
        Between two pieces of at most `LARGEST` pixels a side, each computed with the network as
        it is at that moment.
    """
    for number, piece in enumerate(_from_the_middle(box)):
        if number:
            yield
        network.eval()
        looks = [_predict(network, image, piece)]
        shape = (image.shape[1], image.shape[2])
        for factor in factors:
            y, x = coarse_box(piece, factor, shape)
            said = _predict(network, image, (y, x), factor)
            looks.append(refine(said, factor, (y.start, x.start), piece, shape))
        out[(slice(None), *within(piece, box))] = np.mean(looks, axis=0)


def _from_the_middle(box: Box) -> list[Box]:
    """Cut a box into pieces, those in its middle first."""

    def away(piece: Box) -> int:
        pairs = zip(piece, box, strict=True)
        return sum(abs(p.start + p.stop - b.start - b.stop) for p, b in pairs)

    return sorted(((y, x) for y, x in parts_of(box, LARGEST)), key=away)


@torch.inference_mode()
def _predict(network: UNet, image: torch.Tensor, box: Box, factor: int = 1) -> NDArray[np.float32]:
    """Return what the network says of a box, in pixels of an image that is coarser by a factor."""
    half = network.context // 2
    read, crop = [], []
    for span in box:
        # on the pooling grid of the whole plane, or the result would depend on the box
        start = span.start // network.stride * network.stride
        size = network.valid_size(span.stop - start + network.context)
        read.append(slice(start - half, start - half + size))
        crop.append(slice(span.start - start, span.stop - start))
    pixels = _read(image, read, factor)[None]
    logits = network(pixels.contiguous(memory_format=torch.channels_last))
    probabilities: NDArray[np.float32] = F.softmax(logits, dim=1)[0].cpu().numpy()
    return probabilities[(slice(None), *crop)]


def _read(image: torch.Tensor, read: Sequence[slice], factor: int) -> torch.Tensor:
    """Read a box of the coarser image, mirrored beyond its border; only what is needed of it."""
    if factor == 1:
        y, x = (
            mirror_indices(span.start, span.stop, n)
            for span, n in zip(read, image.shape[1:], strict=True)
        )
        return image[:, y][:, :, x]
    plane: Any = Readable(lambda of: image[:, of[0], of[1]].cpu().numpy(), tuple(image.shape))
    return torch.from_numpy(read_coarse(plane, read, factor)).to(image.device)
