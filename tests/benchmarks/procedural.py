"""Draw images of many kinds of microscopy with the truth behind them: what the starter learns from.

Nothing is copied from a real image. `draw` picks a kind, sizes, contrasts and noise at random; the
networks trained on it must cope with far more variety than one laboratory has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage as ndi

__all__ = ["KINDS", "draw"]

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How cells lie: diameter and gap in pixels, share of the plane, elongation, waviness."""

    diameter: float
    cover: float
    elongation: float = 1.0
    waviness: float = 0.15
    gap: float = 0.0


def noise_field(shape: tuple[int, int], scale: float, rng: Generator) -> Array:
    """Return smooth noise of mean 0 and deviation 1."""
    step = max(1, int(scale / 2))
    small = tuple(n // step + 4 for n in shape)
    field = ndi.gaussian_filter(rng.standard_normal(small), scale / step)
    field = ndi.zoom(field, step, order=1)[: shape[0], : shape[1]]
    return (field - field.mean()) / max(float(field.std()), 1e-9)


def place(shape: tuple[int, int], layout: Layout, rng: Generator) -> Array:
    """Return labels of cells that may touch but never overlap.

    Every pixel goes to the cell whose elliptical distance is smallest, if that is below 1 after
    the plane was bent by smooth noise.
    """
    d = layout.diameter
    spacing = d * np.sqrt(np.pi / 4 / min(layout.cover, 1.0)) * 0.95
    margin = d
    grid = np.mgrid[-margin : shape[0] + margin : spacing, -margin : shape[1] + margin : spacing]
    middles = grid.reshape(2, -1).T + rng.normal(0, 0.28 * spacing, (grid[0].size, 2))
    middles = middles[rng.permutation(len(middles))]
    if layout.cover < 1:
        middles = middles[: max(1, int(len(middles) * rng.uniform(0.6, 1.0)))]
    bend = [layout.waviness * d * noise_field(shape, max(3.0, 0.35 * d), rng) for _ in range(2)]
    y, x = np.mgrid[: shape[0], : shape[1]]
    y, x = y + bend[0], x + bend[1]
    nearest, labels = np.full(shape, np.inf), np.zeros(shape, np.int32)
    common = rng.uniform(0, np.pi)
    for number, (cy, cx) in enumerate(middles, start=1):
        size = d / 2 * np.exp(rng.normal(0, 0.18))
        stretch = layout.elongation ** rng.uniform(0.6, 1.1)
        long, short = size * np.sqrt(stretch), size / np.sqrt(stretch)
        angle = common + rng.normal(0, 0.5) if layout.elongation > 2 else rng.uniform(0, np.pi)
        reach = int(long * 1.6 + 2 * layout.waviness * d) + 2
        box = tuple(slice(max(0, int(c) - reach), max(0, int(c) + reach)) for c in (cy, cx))
        dy, dx = y[box] - cy, x[box] - cx
        if not dy.size:
            continue
        along, across = (
            dy * np.sin(angle) + dx * np.cos(angle),
            dy * np.cos(angle) - dx * np.sin(angle),
        )
        distance = (along / long) ** 2 + (across / short) ** 2
        limit = np.inf if layout.cover > 1 else 1.0
        closer = (distance < nearest[box]) & (distance < limit)
        nearest[box][closer] = distance[closer]
        labels[box][closer] = number
    return tidy(labels, layout)


def tidy(labels: Array, layout: Layout) -> Array:
    """Keep the largest piece of every cell, drop specks, and leave a gap if there is one."""
    smooth = ndi.median_filter(labels, 3)
    pieces = np.zeros_like(smooth)
    count = 0
    for cell, box in enumerate(ndi.find_objects(smooth), start=1):
        if box is None:
            continue
        parts, n = ndi.label(smooth[box] == cell)
        if not n:
            continue
        sizes = np.bincount(parts.ravel())[1:]
        if sizes.max() >= 0.06 * layout.diameter**2:
            count += 1
            pieces[box][parts == sizes.argmax() + 1] = count
    if layout.gap:
        pieces[edges(pieces, layout.gap)] = 0
    return pieces


def edges(labels: Array, width: float) -> Array:
    """Return where another label (or the background) is within half a width."""
    borders = (ndi.maximum_filter(labels, 3) != labels) | (ndi.minimum_filter(labels, 3) != labels)
    near: Array = ndi.distance_transform_edt(~borders) < width / 2
    return near


def depth_of(labels: Array) -> Array:
    """Return 0 at the outline of every cell to 1 in its middle, 0 outside."""
    inside = ndi.distance_transform_edt((labels > 0) & ~edges(labels, 1.0))
    index = np.arange(labels.max() + 1)
    deepest = ndi.maximum(inside, labels, index) if labels.any() else np.ones(1)
    return np.where(labels > 0, inside / np.maximum(deepest, 1)[labels], 0.0)


def per_cell(labels: Array, low: float, high: float, rng: Generator) -> Array:
    """Return a random value for every cell, spread over its pixels; 0 outside."""
    values = np.exp(rng.uniform(np.log(low), np.log(high), int(labels.max()) + 1))
    values[0] = 0
    return values[labels]


def nuclei(shape: tuple[int, int], rng: Generator) -> tuple[Array, Array]:
    """Bright, mottled nuclei on a dark, hazy ground."""
    layout = Layout(
        diameter=rng.uniform(12, 55), cover=rng.uniform(0.1, 0.75),
        elongation=rng.uniform(1, 1.9), waviness=rng.uniform(0.03, 0.15),
    )  # fmt: skip
    labels = place(shape, layout, rng)
    d = layout.diameter
    body = per_cell(labels, rng.uniform(0.15, 0.9), 1.0, rng)
    body = body * (1 + rng.uniform(0, 0.35) * noise_field(shape, rng.uniform(0.06, 0.25) * d, rng))
    body = body * (1 - rng.uniform(0, 0.5) * (1 - depth_of(labels)))
    haze = ndi.gaussian_filter(body, rng.uniform(0.4, 1.5) * d) * rng.uniform(0, 0.6)
    ground = rng.uniform(0, 0.15) * (1 + 0.5 * noise_field(shape, rng.uniform(40, 150), rng))
    return ndi.gaussian_filter(body, rng.uniform(0.4, 2.0)) + haze + ground, labels


def cytoplasm(shape: tuple[int, int], rng: Generator) -> tuple[Array, Array]:
    """Bright spread cells, often with a dark or brighter nucleus."""
    layout = Layout(
        diameter=rng.uniform(25, 65), cover=rng.choice([rng.uniform(0.3, 0.8), 1.2]),
        elongation=rng.uniform(1, 2.5), waviness=rng.uniform(0.1, 0.3),
    )  # fmt: skip
    labels = place(shape, layout, rng)
    depth = depth_of(labels)
    body = per_cell(labels, 0.3, 1.0, rng)
    body = body * (0.35 + 0.65 * depth ** rng.uniform(0.3, 1.2))
    body = body * (1 + 0.3 * noise_field(shape, rng.uniform(1.5, 5), rng))
    body[depth > rng.uniform(0.55, 0.8)] *= rng.choice([0.35, 0.6, 1.6])
    ground = rng.uniform(0, 0.12)
    return ndi.gaussian_filter(body, rng.uniform(0.5, 1.8)) + ground, labels


def membranes(shape: tuple[int, int], rng: Generator) -> tuple[Array, Array]:
    """Cells filled with texture and organelles between lines: dark ones, or bright stained ones."""
    width = rng.uniform(2.0, 6.0)
    layout = Layout(
        diameter=rng.uniform(22, 75), cover=1.2, elongation=rng.uniform(1, 2.5),
        waviness=rng.uniform(0.1, 0.35), gap=width,
    )  # fmt: skip
    labels = place(shape, layout, rng)
    line = ndi.gaussian_filter((labels == 0).astype(float), rng.uniform(0.4, 1.2))
    texture = noise_field(shape, rng.uniform(1.0, 2.5), rng) * rng.uniform(0.05, 0.16)
    if rng.random() < 0.4:  # stained membranes on a dark ground
        image = line * (1 + 0.4 * noise_field(shape, rng.uniform(3, 25), rng)) + 0.6 * abs(texture)
        return image, labels
    image = per_cell(labels, 0.6, 0.9, rng) + texture
    organelles = place(shape, Layout(diameter=rng.uniform(8, 20), cover=0.12), rng)
    organelles[ndi.binary_dilation(labels == 0, iterations=2)] = 0
    rim = edges(organelles, 2.5) & (labels > 0)
    image = image - (organelles > 0) * rng.uniform(0.05, 0.35) - rim * rng.uniform(0.0, 0.3)
    return image * (1 - line) + line * rng.uniform(0.05, 0.3), labels


def phase(shape: tuple[int, int], rng: Generator) -> tuple[Array, Array]:
    """Grey, textured cells with bright halos, crowded or alone."""
    layout = Layout(
        diameter=rng.uniform(22, 60), cover=rng.choice([rng.uniform(0.2, 0.8), 1.2], p=[0.7, 0.3]),
        elongation=rng.uniform(1, 3), waviness=rng.uniform(0.1, 0.35),
    )  # fmt: skip
    labels = place(shape, layout, rng)
    d, depth = layout.diameter, depth_of(labels)
    thick = per_cell(labels, 0.3, 1.0, rng) * depth ** rng.uniform(0.3, 0.8)
    halo = ndi.gaussian_filter(thick, 0.12 * d) - ndi.gaussian_filter(thick, 0.4 * d)
    rim = ndi.gaussian_filter(edges(labels, 2.0).astype(float), rng.uniform(0.6, 1.5))
    texture = noise_field(shape, rng.uniform(1.0, 3.0), rng)
    image = (
        0.5 - rng.uniform(0.2, 0.8) * halo + rng.uniform(0, 0.5) * rim * rng.choice([1, 1, -0.7])
    )
    image = image + rng.uniform(0.02, 0.12) * texture * (0.25 + (labels > 0))
    spots = (depth > 0.3) & (noise_field(shape, 1.8, rng) > 1.9)
    image[spots] += rng.choice([-0.25, 0.35])
    return ndi.gaussian_filter(image, rng.uniform(0.3, 1.0)), labels


def dic(shape: tuple[int, int], rng: Generator) -> tuple[Array, Array]:
    """Cells in relief, lit from one side."""
    layout = Layout(
        diameter=rng.uniform(25, 65), cover=rng.choice([rng.uniform(0.3, 0.8), 1.2]),
        elongation=rng.uniform(1, 2), waviness=rng.uniform(0.08, 0.25),
    )  # fmt: skip
    labels = place(shape, layout, rng)
    d = layout.diameter
    height = depth_of(labels) ** rng.uniform(0.4, 0.9) * per_cell(labels, 0.5, 1.0, rng) * d / 4
    height = height + (labels > 0) * rng.uniform(0.1, 0.8) * noise_field(shape, 2.5, rng)
    height = height + rng.uniform(0.0, 1.5) * (labels > 0) * noise_field(shape, 0.12 * d + 2, rng)
    height = ndi.gaussian_filter(height, rng.uniform(0.6, 1.8))
    angle = rng.uniform(0, 2 * np.pi)
    gy, gx = np.gradient(height)
    return 0.5 + rng.uniform(0.1, 0.5) * (np.sin(angle) * gy + np.cos(angle) * gx), labels


def rods(shape: tuple[int, int], rng: Generator) -> tuple[Array, Array]:
    """Bacteria: straight rods, dark or bright."""
    layout = Layout(
        diameter=rng.uniform(13, 26), cover=rng.uniform(0.15, 0.7),
        elongation=rng.uniform(2.5, 6), waviness=rng.uniform(0.0, 0.08),
    )  # fmt: skip
    labels = place(shape, layout, rng)
    body = per_cell(labels, 0.5, 1.0, rng) * (0.5 + 0.5 * depth_of(labels))
    body = ndi.gaussian_filter(body, rng.uniform(0.5, 1.5))
    halo = ndi.gaussian_filter((labels > 0).astype(float), 5) * rng.uniform(0, 0.4)
    if rng.random() < 0.5:
        return 0.6 - 0.5 * body + halo * (labels == 0), labels
    return body + 0.05, labels


KINDS: dict[str, Callable[[tuple[int, int], Generator], tuple[Array, Array]]] = {
    "nuclei": nuclei,
    "cytoplasm": cytoplasm,
    "membranes": membranes,
    "phase": phase,
    "dic": dic,
    "rods": rods,
}


def draw(kind: str, shape: tuple[int, int], rng: Generator) -> tuple[Array, Array]:
    """Draw one image and its truth.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    shape : (int, int)
        (Y, X).
    rng : numpy.random.Generator
        Source of everything.

    Returns
    -------
    image : (Y, X) float32
        Any grey values.
    labels : (Y, X) int32
        0 is background.
    """
    image, labels = KINDS[kind](shape, rng)
    image = (image - image.mean()) / max(float(image.std()), 1e-9)
    image = image * (1 + rng.uniform(0, 0.3) * noise_field(shape, rng.uniform(60, 200), rng))
    image = image + rng.uniform(0, 0.4) * noise_field(shape, rng.uniform(60, 200), rng)
    image = image + rng.uniform(0.01, 0.5) * rng.standard_normal(shape)
    return image.astype(np.float32), labels
