"""Elastic deformation and augmentation: one flow, one interpolation (section 3.1 of the paper).

"We generate smooth deformations using random displacement vectors on a coarse 3 by 3 grid. The
displacements are sampled from a Gaussian distribution with 10 pixels standard deviation. Per-pixel
displacements are then computed using bicubic interpolation."

Mirror, rotation, scale, shift and elastic displacement are composed into one field of source
coordinates first; image, target and weights are then each read once, so nothing is blurred twice
and the three cannot drift apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_unet.core.annotation import IGNORE
from napari_unet.errors import InputError

__all__ = ["Augmentation", "Patch", "Plane", "bicubic_field", "cut_patch", "elastic_deform"]


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


def bicubic_field(coarse: NDArray[np.floating], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Interpolate a coarse grid, whose corners lie on the corners of the field, bicubically.

    Parameters
    ----------
    coarse : array
        (..., g, g) values on a regular grid, g >= 2.
    shape : (int, int)
        Shape of the field in pixels.

    Returns
    -------
    float32 array
        (..., *shape). Cubic convolution (Keys 1981, a = -1/2), linear extension at the border.
    """
    rows = _cubic_matrix(coarse.shape[-2], shape[0])
    columns = _cubic_matrix(coarse.shape[-1], shape[1])
    field: NDArray[np.float32] = (rows @ coarse @ columns.T).astype(np.float32)
    return field


def _cubic_matrix(grid: int, n: int) -> NDArray[np.float64]:
    """Return the (n, grid) matrix of cubic convolution weights."""
    position = np.linspace(0, grid - 1, n) if n > 1 else np.array([(grid - 1) / 2])
    cell = np.minimum(position.astype(int), grid - 2)
    t = (position - cell)[:, None]
    powers = np.hstack([np.ones_like(t), t, t**2, t**3])
    keys = 0.5 * np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]])
    padded = np.zeros((n, grid + 2))
    padded[np.arange(n)[:, None], cell[:, None] + np.arange(4)] = powers @ keys
    matrix = padded[:, 1:-1]
    # values beyond the grid continue its outermost difference: v[-1] = 2 v[0] - v[1]
    matrix[:, 0] += 2 * padded[:, 0]
    matrix[:, 1] -= padded[:, 0]
    matrix[:, -1] += 2 * padded[:, -1]
    matrix[:, -2] -= padded[:, -1]
    return matrix


def elastic_deform(
    image: NDArray[np.generic],
    labels: NDArray[np.integer],
    *,
    rng: np.random.Generator,
    grid: int = 3,
    std: float = 10.0,
) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
    """Deform an image and its labels with the same smooth random field.

    Parameters
    ----------
    image : array
        (Y, X) or (C, Y, X); interpolated linearly, mirrored beyond its border.
    labels : integer array
        (Y, X); moved with the nearest neighbour, so no new label appears.
    rng : numpy.random.Generator
        Source of the displacements.
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
        If the shapes do not match, or ``grid`` < 2 or ``std`` < 0.
    """
    image, labels = np.asarray(image), np.asarray(labels)
    if image.ndim not in (2, 3) or image.shape[-2:] != labels.shape:
        raise InputError(
            f"The image has shape {image.shape} and the labels {labels.shape}; give (Y, X) or "
            f"(C, Y, X), and labels (Y, X)."
        )
    if grid < 2 or not std >= 0:
        raise InputError(f"grid = {grid} and std = {std}; give grid >= 2 and std >= 0.")
    height, width = labels.shape
    field = bicubic_field(rng.normal(0, std, (2, grid, grid)), (height, width))
    y = np.arange(height, dtype=np.float32)[:, None] + field[0]
    x = np.arange(width, dtype=np.float32) + field[1]
    coordinates = torch.from_numpy(np.stack([y, x]))
    channels = torch.from_numpy(np.atleast_3d(image.T).T.astype(np.float32))
    warped = _sample(channels, coordinates, "bilinear").numpy().reshape(image.shape)
    rows = _mirrored(np.rint(y).astype(np.intp), height)
    columns = _mirrored(np.rint(x).astype(np.intp), width)
    return warped, labels[rows, columns]


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
    coordinates = _coordinates(centre, size, rng, augmentation)
    image = _vary_grey(_sample(plane.image, coordinates, "bilinear"), rng, augmentation)
    half = context // 2
    inner = coordinates[:, half : size - half, half : size - half].contiguous()
    rows = _mirrored(torch.round(inner[0]).long(), plane.target.shape[0])
    columns = _mirrored(torch.round(inner[1]).long(), plane.target.shape[1])
    target = plane.target[rows, columns]
    weight = _sample(plane.weight[None], inner, "bilinear")[0]
    # linear interpolation leaks weight over the edge of a stroke: unlabelled stays exactly 0
    known = (target != IGNORE) & (plane.weight[rows, columns] > 0)
    weight = torch.where(known, weight, weight.new_zeros(()))
    return Patch(image, target.long(), weight)


def _coordinates(
    centre: tuple[float, float], size: int, rng: np.random.Generator, strength: Augmentation
) -> Tensor:
    """Return where each pixel of the patch is read: (2, size, size), in pixels of the plane."""
    angle = rng.uniform(0, 2 * np.pi) if strength.rotate else 0.0
    zoom = (1 + strength.scale) ** rng.uniform(-1, 1)
    flip = -1.0 if strength.mirror and rng.random() < 0.5 else 1.0
    cos, sin = np.cos(angle) * zoom, np.sin(angle) * zoom
    matrix = np.array([[cos, -sin * flip], [sin, cos * flip]], dtype=np.float32)
    axis = np.arange(size, dtype=np.float32) - (size - 1) / 2
    y, x = axis[:, None], axis[None, :]
    field = matrix[:, 0, None, None] * y + matrix[:, 1, None, None] * x
    if strength.elastic > 0:
        field += bicubic_field(rng.normal(0, strength.elastic, (2, 3, 3)), (size, size))
    field += np.asarray(centre, dtype=np.float32)[:, None, None]
    return torch.from_numpy(field)


def _sample(image: Tensor, coordinates: Tensor, mode: str) -> Tensor:
    """Read (C, Y, X) at pixel coordinates (2, h, w), mirrored beyond the border."""
    coordinates = coordinates.to(image.device)
    nearest = torch.round(coordinates)
    if torch.equal(nearest, coordinates):  # nothing to interpolate: exactly the pixels themselves
        rows, columns = nearest.long()
        return image[:, _mirrored(rows, image.shape[1]), _mirrored(columns, image.shape[2])]
    size = torch.tensor(image.shape[1:], device=image.device).view(2, 1, 1)
    # grid_sample wants (x, y) in -1 ... 1; one pixel has no extent to normalise by
    scaled = 2 * coordinates / (size - 1).clamp(min=1) - 1
    grid = scaled.flip(0).permute(1, 2, 0)[None]
    sampled = F.grid_sample(image[None], grid, mode, "reflection", align_corners=True)
    return sampled[0]


def _mirrored(index, n: int):  # type: ignore[no-untyped-def]  # arrays and tensors alike
    """Mirror integer coordinates into 0 ... n - 1 without repeating the edge."""
    if n == 1:
        return index * 0
    index = index % (2 * (n - 1))
    return (n - 1) - abs((n - 1) - index)


def _vary_grey(image: Tensor, rng: np.random.Generator, strength: Augmentation) -> Tensor:
    """Vary sharpness, gamma, gain, offset, light and noise, the same for all channels."""
    if strength.blur and rng.random() < 0.5:
        image = _blur(image, rng.uniform(0.1, strength.blur))
    if strength.gamma:
        exponent = (1 + strength.gamma) ** rng.uniform(-1, 1)
        image = torch.sign(image) * image.abs() ** exponent
    if strength.contrast or strength.brightness:
        gain = (1 + strength.contrast) ** rng.uniform(-1, 1)
        image = image * gain + rng.uniform(-strength.brightness, strength.brightness)
    if strength.illumination:
        image = image + _slope(image, rng.uniform(-1, 1, 2) * strength.illumination)
    if strength.noise:
        sigma = rng.uniform(0, strength.noise)
        noise = torch.from_numpy(rng.standard_normal(tuple(image.shape), dtype=np.float32))
        image = image + sigma * noise.to(image.device)
    return image


def _blur(image: Tensor, sigma: float) -> Tensor:
    """Blur (C, Y, X) with a Gaussian of ``sigma`` pixels, row-wise and column-wise."""
    reach = int(3 * sigma + 0.5) or 1
    x = torch.arange(-reach, reach + 1, device=image.device)
    kernel = torch.exp(-(x**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).to(image.dtype)
    padded = F.pad(image[:, None], (reach, reach, reach, reach), mode="reflect")
    rows = F.conv2d(padded, kernel.view(1, 1, -1, 1))
    return F.conv2d(rows, kernel.view(1, 1, 1, -1))[:, 0]


def _slope(image: Tensor, height: NDArray[np.float64]) -> Tensor:
    """Return a plane (Y, X) that rises by ``height`` (y, x) from edge to edge, 0 in the middle."""
    y, x = (torch.linspace(-0.5, 0.5, n, device=image.device) for n in image.shape[1:])
    return float(height[0]) * y[:, None] + float(height[1]) * x
