"""Elastic deformation and augmentation: one flow, one interpolation (section 3.1 of the paper).

"We generate smooth deformations using random displacement vectors on a coarse 3 by 3 grid. The
displacements are sampled from a Gaussian distribution with 10 pixels standard deviation. Per-pixel
displacements are then computed using bicubic interpolation."

Mirror, rotation, scale, shift and elastic displacement are added up on the coarse grid first. One
field of coordinates is interpolated from it, and image, target and weights are each read once where
it says, so nothing is blurred twice and the three cannot drift apart.

Only the few random numbers are drawn on the CPU. All work per pixel is done where the plane is, and
nothing waits for it: what depends on numbers is decided from those that were drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_unet.core.annotation import IGNORE
from napari_unet.core.flow import Move, pick, reading
from napari_unet.core.given import check_pixels
from napari_unet.errors import InputError

__all__ = ["Augmentation", "Patch", "Plane", "cut_patch", "elastic_deform"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How strongly patches are varied; all zero and False: not at all.

    Attributes
    ----------
    elastic : float
        Standard deviation in pixels of the displacements on the 3 x 3 grid.
    rotate, mirror : bool
        Rotate by any angle; mirror one axis half of the time.
    scale : float
        Largest relative change of size, applied as a factor ``(1 + scale) ** U(-1, 1)``.
    contrast, brightness, gamma : float
        Largest relative gain, offset (in normalised grey values) and exponent of the grey values.
    blur : float
        Largest standard deviation in pixels of a Gaussian blur, applied half of the time.
    illumination : float
        Largest height (in normalised grey values) of an added slope of light across the patch.
    noise : float
        Largest standard deviation of added Gaussian noise (in normalised grey values).
    """

    elastic: float = 0.0
    rotate: bool = False
    mirror: bool = False
    scale: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    gamma: float = 0.0
    blur: float = 0.0
    illumination: float = 0.0
    noise: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """One plane to cut patches from: image (C, Y, X), target (Y, X), weight (Y, X) tensors."""

    image: Tensor
    target: Tensor
    weight: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A network input (C, Y, X) and the target and weight (Y', X') of its smaller output."""

    image: Tensor
    target: Tensor
    weight: Tensor


def elastic_deform(
    image: NDArray[np.generic],
    labels: NDArray[np.integer],
    *,
    rng: np.random.Generator | int,
    grid: int = 3,
    std: float = 10.0,
) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
    """Deform an image and its labels with the same smooth random field.

    As in Ronneberger et al. 2015, section 3.1.

    Parameters
    ----------
    image : array
        (Y, X) or (C, Y, X); interpolated linearly, mirrored beyond its border.
    labels : integer array
        (Y, X); moved with the nearest neighbour, so no new label appears.
    rng : numpy.random.Generator or int
        Source of the displacements, or the seed of a new one.
    grid : int
        Nodes per side of the coarse grid (the paper: 3).
    std : float
        Standard deviation of the displacements in pixels (the paper: 10).

    Returns
    -------
    (float32 array, integer array)
        Deformed image and labels, of the shapes given and the dtype of ``labels``.

    Raises
    ------
    InputError
        If the shapes do not match or are empty, or ``grid`` < 2 or ``std`` < 0.
    """
    check_pixels("image", image, "read_image")
    check_pixels("labels", labels, "read_labels")
    image, labels = np.asarray(image), np.asarray(labels)
    if image.ndim not in (2, 3) or image.shape[-2:] != labels.shape or 0 in image.shape:
        raise InputError(
            f"The image has shape {image.shape} and the labels {labels.shape}; give (Y, X) or "
            f"(C, Y, X), and labels (Y, X), of at least one pixel."
        )
    if grid < 2 or not std >= 0:
        raise InputError(f"grid = {grid} and std = {std}; give grid >= 2 and std >= 0.")
    # a copy, because torch takes neither read-only memory nor another byte order
    channels = np.array(image.reshape(-1, *labels.shape), dtype=np.float32, order="C")
    move = Move(
        shape=labels.shape,
        centre=(np.array(labels.shape) - 1) / 2,
        matrix=np.eye(2),
        displacement=np.random.default_rng(rng).normal(0, std, (2, grid, grid)),
    )
    flow = reading(move, labels.shape, torch.device("cpu"))
    warped = flow.linear(torch.from_numpy(channels), slice(None)).numpy().reshape(image.shape)
    return warped, labels.reshape(-1)[flow.nearest(slice(None)).numpy()]


def cut_patch(
    plane: Plane,
    centre: tuple[float, float],
    size: int,
    context: int,
    rng: np.random.Generator,
    augmentation: Augmentation,
) -> Patch:
    """Cut one patch around a pixel, varied at random.

    Parameters
    ----------
    plane : Plane
        Where to cut; coordinates beyond it are mirrored.
    centre : (float, float)
        Pixel that becomes the middle of the patch.
    size : int
        Side of the network input in pixels.
    context : int
        Pixels by which target and weight are smaller than the input.
    rng : numpy.random.Generator
        Source of all variation.
    augmentation : Augmentation
        Its strength.

    Returns
    -------
    Patch
        Weight 0 (and target `IGNORE`) wherever the label moved there says nothing.
    """
    half = context // 2
    inner = slice(half, size - half)
    height, width = plane.target.shape
    flow = reading(_draw_move(centre, size, rng, augmentation), (height, width), plane.image.device)
    image = _vary_grey(flow.linear(plane.image, slice(None)), rng, augmentation)
    index = flow.nearest(inner)
    target, nearest = pick(plane.target, index), pick(plane.weight, index)
    weight = flow.linear(plane.weight[None], inner)[0]
    # linear interpolation leaks weight over the edge of a stroke: unlabelled stays exactly 0
    weight.mul_((target != IGNORE) & (nearest > 0))
    return Patch(image, target.long(), weight)


def _draw_move(
    centre: tuple[float, float], size: int, rng: np.random.Generator, strength: Augmentation
) -> Move:
    """Draw how a square patch lies on its plane."""
    angle = rng.uniform(0, 2 * np.pi) if strength.rotate else 0.0
    zoom = (1 + strength.scale) ** rng.uniform(-1, 1)
    flip = -1.0 if strength.mirror and rng.random() < 0.5 else 1.0
    cos, sin = np.cos(angle) * zoom, np.sin(angle) * zoom
    displacement = np.zeros((2, 3, 3))
    if strength.elastic > 0:
        displacement = rng.normal(0, strength.elastic, displacement.shape)
    return Move(
        shape=(size, size),
        centre=np.array(centre, dtype=np.float64),
        matrix=np.array([[cos, -sin * flip], [sin, cos * flip]]),
        displacement=displacement,
    )


def _vary_grey(image: Tensor, rng: np.random.Generator, strength: Augmentation) -> Tensor:
    """Vary sharpness, gamma, gain, offset, light and noise, the same for all channels; in place."""
    if strength.blur and rng.random() < 0.5:
        image = _blur(image, rng.uniform(0.1, strength.blur))
    if strength.gamma:
        exponent = (1 + strength.gamma) ** rng.uniform(-1, 1)
        # exp2 and log2 take two thirds of the time of a power
        image = torch.copysign(image.abs().log2_().mul_(exponent).exp2_(), image)
    if strength.contrast or strength.brightness:
        image.mul_((1 + strength.contrast) ** rng.uniform(-1, 1))
        image.add_(rng.uniform(-strength.brightness, strength.brightness))
    if strength.illumination:
        for axis in (1, 2):
            image.add_(_slope(image, axis, rng.uniform(-1, 1) * strength.illumination))
    if strength.noise:
        sigma = rng.uniform(0, strength.noise)
        # drawn where the image is, from one number of ours: reproducible on each device
        generator = torch.Generator(image.device).manual_seed(int(rng.integers(2**63)))
        noise = torch.randn(image.shape, generator=generator, device=image.device)
        image.add_(noise, alpha=sigma)
    return image


def _blur(image: Tensor, sigma: float) -> Tensor:
    """Blur (C, Y, X) with a Gaussian of ``sigma`` pixels, row-wise and column-wise."""
    reach = min(int(3 * sigma + 0.5) or 1, min(image.shape[1:]) - 1)
    weights = np.exp(-((np.arange(-reach, reach + 1) / sigma) ** 2) / 2)
    first, *others = (weights / weights.sum()).tolist()
    image = F.pad(image, (reach, reach, reach, reach), mode="reflect")
    # sums of shifted images: a convolution of one channel takes four times as long on a CPU
    for axis in (1, 2):
        n = image.shape[axis] - 2 * reach
        blurred = image.narrow(axis, 0, n) * first
        for shift, share in enumerate(others, start=1):
            blurred.add_(image.narrow(axis, shift, n), alpha=share)
        image = blurred
    return image


def _slope(image: Tensor, axis: int, height: float) -> Tensor:
    """Return what rises by ``height`` from edge to edge along an axis, 0 in the middle."""
    n = image.shape[axis]
    rise = torch.linspace(-height / 2, height / 2, n, device=image.device)
    return rise[:, None] if axis == 1 else rise
