"""Procedural microscopy: crowded, touching cells that thresholding cannot separate.

Nothing is downloaded or copied from a real image, so there is no licence to observe. Sizes do not
depend on the shape asked for: a larger image holds more cells, not larger ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage as ndi

from napari_unet.errors import InputError

__all__ = ["painted_scribbles", "touching_cells", "touching_cells_layers"]

Array = NDArray[Any]
FloatArray = NDArray[np.float32]
Labels = NDArray[np.integer]

SMALLEST_SIDE = 64
SPACING = 42.0
"""Mean distance between the middles of neighbouring cells, in pixels."""
BRUSH = 3.0
"""Radius of a painted background stroke, in pixels."""


def touching_cells(shape: tuple[int, int] = (512, 512), seed: int = 0) -> tuple[FloatArray, Labels]:
    """Draw one fluorescence image of touching cells, and the truth behind it.

    Cells lie in islands, share borders, differ several times in brightness and carry a dark
    nucleus; light is uneven, other planes add haze, and the camera adds noise.

    Parameters
    ----------
    shape : tuple of int
        (Y, X), each at least 64 pixels.
    seed : int
        The same seed and shape give the same image, on the same versions of numpy and scipy.

    Returns
    -------
    image : (Y, X) float32
        Intensities in 0..1; 1 is where the camera saturates.
    labels : (Y, X) int32
        0 is background; 1, 2, ... are cells, each one 4-connected piece.

    Raises
    ------
    InputError
        If the shape is not two sides of at least 64 pixels.
    """
    sides = tuple(shape)
    if len(sides) != 2 or min(sides) < SMALLEST_SIDE:
        raise InputError(f"shape {sides} is not (Y, X) of at least {SMALLEST_SIDE} pixels each")
    rng = np.random.default_rng(seed)
    labels = _grow(_place_cells(shape, rng), shape, rng)
    return _expose(_stain(labels, rng), rng), labels


def painted_scribbles(labels: Labels, n_cells: int = 10, seed: int = 0) -> Array:
    """Paint some of the truth the way a user would: a few cells, and strokes of background.

    Cells are filled to their outline and chosen in touching pairs where there are any. Background
    strokes run along the painted cells, and a few wander elsewhere.

    Parameters
    ----------
    labels : (Y, X) integer
        The truth: 0 is background, 1, 2, ... are cells.
    n_cells : int
        How many cells to paint; all of them if there are fewer.
    seed : int
        The same seed and labels give the same strokes.

    Returns
    -------
    (Y, X) uint8, or uint16 beyond 254 cells
        0 is not labelled, 1 is background, 2, 3, ... are cells.

    Raises
    ------
    InputError
        If `labels` is not two-dimensional or holds no cell, or `n_cells` is below 1.
    """
    if labels.ndim != 2 or not labels.any() or n_cells < 1:
        raise InputError(
            f"cannot paint {n_cells} cells from labels of shape {labels.shape} "
            f"with a largest value of {labels.max(initial=0)}: give (Y, X) labels with cells"
        )
    rng = np.random.default_rng(seed)
    chosen = _choose_cells(labels, n_cells, rng)
    scribbles = np.zeros(labels.shape, np.min_scalar_type(len(chosen) + 1))
    for value, cell in enumerate(chosen, start=2):
        scribbles[labels == cell] = value
    beside = ndi.distance_transform_edt(scribbles == 0)
    strokes = (beside > 3) & (beside <= 3 + 2 * BRUSH) | _wander(labels, 4 + n_cells, rng)
    scribbles[(labels == 0) & strokes] = 1
    return scribbles


def touching_cells_layers() -> list[tuple[Array, dict[str, Any], str]]:
    """Give napari's *File > Open Sample* the image and a few painted cells, as two layers."""
    image, labels = touching_cells()
    shown = {"name": "Touching cells", "contrast_limits": (0.0, 1.0)}
    painted = {"name": "Painted cells", "metadata": {"napari_unet": {"meaning": "scribbles"}}}
    return [(image, shown, "image"), (painted_scribbles(labels), painted, "labels")]


@dataclass(frozen=True, slots=True)
class _Outline:
    """A cell or a nucleus before anything limits it: an ellipse with a wavy rim."""

    middle: NDArray[np.float64]
    radii: NDArray[np.float64]
    angle: float
    waves: NDArray[np.float64]
    phases: NDArray[np.float64]

    @classmethod
    def draw(cls, rng: Generator, middle: Array, size: float, vary: float, wave: float) -> _Outline:
        """Draw a random outline around `middle`, of `size` pixels radius give or take `vary`."""
        stretch = np.exp(rng.normal(0, 0.22))
        return cls(
            middle,
            size * rng.lognormal(0, vary) * np.array([stretch, 1 / stretch]),
            rng.uniform(0, np.pi),
            rng.normal(0, wave / np.arange(1, 5)),
            rng.uniform(0, 2 * np.pi, 4),
        )

    def distance(self, y: Array, x: Array) -> Array:
        """Distance from the middle in units of the outline, 1 on it; y and x broadcast."""
        dy, dx = y - self.middle[0], x - self.middle[1]
        along = (np.cos(self.angle) * dx + np.sin(self.angle) * dy) / self.radii[0]
        across = (np.cos(self.angle) * dy - np.sin(self.angle) * dx) / self.radii[1]
        turn = np.arctan2(across, along)
        rim = np.ones_like(turn)
        for order, (wave, phase) in enumerate(zip(self.waves, self.phases, strict=True), start=2):
            rim += wave * np.cos(order * turn + phase)
        distance: Array = np.hypot(along, across) / rim
        return distance


def _smooth_noise(shape: tuple[int, ...], sigma: float, rng: Generator) -> FloatArray:
    """Gaussian random field of mean 0 and standard deviation 1, correlated over `sigma` pixels."""
    # Drawn on a coarse grid: a wide Gaussian over every pixel would take most of the time.
    step = max(1, int(sigma / 4))
    coarse = rng.standard_normal([-(-side // step) + 4 for side in shape], np.float32)
    field: FloatArray = ndi.gaussian_filter(coarse, sigma / step, mode="wrap")
    field = (field - field.mean()) / field.std()
    if step > 1:
        field = ndi.zoom(field, step, order=1)
    return field[: shape[0], : shape[1]]


def _place_cells(shape: tuple[int, int], rng: Generator) -> list[_Outline]:
    """Place cells on a shaken hexagonal grid, leaving gaps where a smooth field is low."""
    rows = np.arange(-1, shape[0] / (SPACING * 0.87) + 1)
    columns = np.arange(-1, shape[1] / SPACING + 1)
    y, x = (grid.ravel() for grid in np.meshgrid(rows, columns, indexing="ij"))
    middles = np.stack([y * SPACING * 0.87, (x + 0.5 * (y % 2)) * SPACING], axis=-1)
    middles += rng.normal(0, 0.16 * SPACING, middles.shape)
    crowding = _smooth_noise(shape, 1.6 * SPACING, rng)
    inside = np.clip(middles, 0, np.array(shape) - 1).astype(int)
    occupied = crowding[inside[:, 0], inside[:, 1]] > np.quantile(crowding, 0.3)
    # One cell always lies near the middle, so that the smallest image is never empty.
    occupied[np.argmin(np.abs(middles - np.array(shape) / 2).sum(axis=1))] = True
    radius = 0.6 * SPACING
    return [_Outline.draw(rng, middle, radius, 0.15, 0.09) for middle in middles[occupied]]


def _grow(outlines: list[_Outline], shape: tuple[int, int], rng: Generator) -> Labels:
    """Give each pixel to the cell whose outline it lies deepest in; drop what is left in pieces."""
    bend = 3.0 * np.stack([_smooth_noise(shape, 9.0, rng) for _ in range(2)])
    nearest = np.ones(shape)
    labels = np.zeros(shape, np.int32)
    for index, outline in enumerate(outlines, start=1):
        reach = 1.4 * outline.radii.max() + 10.0
        corners = (outline.middle - reach, outline.middle + reach)
        box = tuple(map(slice, *np.clip(corners, 0, shape).astype(int)))
        y, x = np.ogrid[box]
        distance = outline.distance(y + bend[0][box], x + bend[1][box])
        closer = distance < nearest[box]
        nearest[box][closer] = distance[closer]
        labels[box][closer] = index
    return _whole_cells(labels)


def _whole_cells(labels: Labels) -> Labels:
    """Keep the largest piece of each cell, without slivers, numbered 1, 2, ... without gaps."""
    kept = np.zeros_like(labels)
    number = 0
    for index, box in enumerate(ndi.find_objects(labels), start=1):
        if box is None:
            continue
        padded = np.pad(labels[box] == index, 2, mode="edge")
        pieces, _ = ndi.label(ndi.binary_opening(padded, iterations=2)[2:-2, 2:-2])
        sizes = np.bincount(pieces.ravel())[1:]
        if sizes.max(initial=0) >= 0.2 * SPACING**2:
            number += 1
            kept[box][pieces == 1 + sizes.argmax()] = number
    return kept


def _stain(labels: Labels, rng: Generator) -> FloatArray:
    """Turn labels into the light the cells would send, about 0..1, before any optics."""
    brightness = rng.lognormal(-0.7, 0.38, labels.max() + 1)
    brightness[0] = 0.0
    depth = _depth(labels)
    rim = np.exp(-(((depth - 2.5) / 1.6) ** 2))
    fine, coarse = (_smooth_noise(labels.shape, sigma, rng) for sigma in (1.5, 4.0))
    body = (1.0 - np.exp(-depth / 3.0)) * (1.0 + 0.16 * fine + 0.14 * coarse)
    light = brightness[labels] * (body * _nuclei(labels, rng) + 0.35 * rim)
    return np.asarray(np.maximum(light, 0), np.float32)


def _depth(labels: Labels) -> Array:
    """Distance in pixels from each cell pixel to the nearest one on its rim or outside it."""
    edge = labels == 0
    edge[:-1] |= labels[:-1] != labels[1:]
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    return np.asarray(ndi.distance_transform_edt(~edge))


def _nuclei(labels: Labels, rng: Generator) -> FloatArray:
    """Return the share of its light each pixel keeps: less inside a nucleus, all outside."""
    kept = np.ones(labels.shape, np.float32)
    for index, box in enumerate(ndi.find_objects(labels), start=1):
        mask = labels[box] == index
        radius = 0.45 * np.sqrt(mask.sum() / np.pi)
        middle = np.argwhere(mask).mean(axis=0) + rng.normal(0, 0.15 * radius, 2)
        nucleus = _Outline.draw(rng, middle, radius, 0.1, 0.04)
        rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
        inside = 1 / (1 + np.exp((nucleus.distance(rows, columns) - 1) * radius / 0.8))
        kept[box] -= np.where(mask, inside * rng.uniform(0.45, 0.75), 0)
    return kept


def _expose(stained: FloatArray, rng: Generator) -> FloatArray:
    """Photograph the light: haze, debris, uneven illumination, blur, photons and read noise."""
    shape = stained.shape
    haze = 0.45 * ndi.gaussian_filter(stained, 14.0) + 0.05 * _smooth_noise(shape, 30.0, rng)
    sharp = ndi.gaussian_filter(stained, 1.1)
    light = sharp + np.clip(haze + 0.08, 0.02, None) + _debris(shape, rng)
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) for side in shape)
    tilt, lean = rng.uniform(-0.2, 0.2, 2)
    illumination = 1.0 - 0.22 * (y[:, None] ** 2 + x**2) + tilt * y[:, None] + lean * x
    photons = 140.0
    counts = rng.poisson(light * illumination * photons)
    exposed = counts / photons + rng.normal(0.0, 0.012, shape)
    return np.asarray(np.clip(exposed / 1.35, 0.0, 1.0), np.float32)


def _debris(shape: tuple[int, ...], rng: Generator) -> Array:
    """Sparse bright specks, some sharp and some out of focus."""
    sharp, blurred = np.zeros((2, *shape))
    for points, brightness in ((sharp, 12.0), (blurred, 46.0)):
        number = max(1, round(points.size / 40_000))
        points[tuple(rng.integers(0, side, number) for side in shape)] = brightness
    return np.asarray(ndi.gaussian_filter(sharp, 1.3) + ndi.gaussian_filter(blurred, 3.5))


def _choose_cells(labels: Labels, n_cells: int, rng: Generator) -> list[int]:
    """Pick cells at random, each followed by the neighbour it shares the longest border with."""
    chosen: list[int] = []
    for cell in rng.permutation(np.unique(labels[labels > 0])).tolist():
        if cell in chosen:
            continue
        ring = ndi.binary_dilation(labels == cell, iterations=2) & (labels > 0)
        neighbours = labels[ring & ~np.isin(labels, [cell, *chosen])]
        values, shared = np.unique(neighbours, return_counts=True)
        chosen += [cell, *values[np.argsort(shared)[-1:]].tolist()]
        if len(chosen) >= n_cells:
            break
    return chosen[:n_cells]


def _wander(labels: Labels, number: int, rng: Generator) -> Array:
    """Draw wandering brush strokes that stay off the cells."""
    # Padded, so that there is no room at the rim and no stroke can leave the image.
    room = ndi.distance_transform_edt(np.pad(labels == 0, 1))[1:-1, 1:-1]
    starts = np.argwhere(room > BRUSH + 1)
    path = np.zeros(labels.shape, bool)
    for start in rng.choice(starts, number if len(starts) else 0):
        point, heading = start.astype(float), rng.uniform(0, 2 * np.pi)
        for _ in range(60):
            pixel = tuple(np.round(point).astype(int))
            if room[pixel] <= BRUSH + 1:
                break
            path[pixel] = True
            heading += rng.normal(0, 0.25)
            point += 1.4 * np.array([np.sin(heading), np.cos(heading)])
    if not path.any():
        return path
    return np.asarray(ndi.distance_transform_edt(~path) <= BRUSH)
