"""Use the program on real microscopy images as a new user would, in a real viewer, and score it.

    python tests/benchmarks/real_images.py --out results [--only nuclei phase ...] [--seconds 60]

Opens napari, adds the layers, paints scripted strokes, presses Train and Segment in the dock,
waits, scores what the result layer shows, and takes a screenshot of each case. Writes
``results.json``, ``results.md`` and the pictures to ``--out``. The images are found through
NAPARI_UNET_DATA or in ``../shared/data``; none is copied into the project, so keep ``--out``
outside of it.

The defaults of training were chosen on other images of these sets than those that are scored here;
``docs/results.md`` names them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import napari
import numpy as np
from kinds import DATA, Array, largest_pieces, read, strokes
from qtpy.QtWidgets import QApplication
from scipy import ndimage

from napari_unet import metrics
from napari_unet.core.annotation import Meaning
from napari_unet.viewer.notes import set_meaning


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is opened, what is painted on it, and what the other planes are compared with.

    Attributes
    ----------
    image, painted : array
        (planes, Y, X[, 3]) and (planes, Y, X): most planes are not painted.
    meaning : str
        Of the painted labels.
    truth : dict of int to array
        By plane: the labels of a plane that was not painted.
    inside : array, optional
        (Y, X) bool: only this part of the truth is scored.
    rgb : bool
        Whether the last axis is colour.
    complete : bool
        Whether the truth knows every cell, so that a cell found elsewhere is wrong.
    """

    image: Array
    painted: Array
    meaning: Meaning
    truth: dict[int, Array]
    inside: Array | None = None
    rgb: bool = False
    complete: bool = True


def paint_planes(truth: Array, planes: list[int]) -> Array:
    """Return labels in which only some planes are painted, all of them."""
    painted = np.zeros(truth.shape, np.uint16)
    painted[planes] = truth[planes]
    return painted


def nuclei() -> Case:
    """Five nuclei and background strokes on one fluorescence image; three others."""
    image, truth = (read(f"nuclei_dsb2018/fluo520x696-{part}.tif") for part in ("images", "masks"))
    painted = np.zeros(truth.shape, np.uint16)
    painted[19] = strokes(truth[19], 5, np.random.default_rng(0))
    return Case(
        image=image,
        painted=painted,
        meaning="scribbles",
        truth={plane: truth[plane] for plane in (2, 10, 15)},
    )


def phase() -> Case:
    """All cells of one phase contrast image; four others."""
    image, truth = (read(f"phase_t98g/{part}.tif") for part in ("images", "masks"))
    truth = np.stack([largest_pieces(plane) for plane in truth])
    return Case(
        image=image,
        painted=paint_planes(truth, [0]),
        meaning="instances",
        truth={plane: truth[plane] for plane in (1, 3, 5, 6)},
    )


def membranes() -> Case:
    """Two sections of nerve tissue; two far away."""
    image, interior = read("em_membranes/images.tif"), read("em_membranes/labels.tif") > 0
    truth = np.stack([ndimage.label(plane)[0] for plane in interior])
    return Case(
        image=image,
        painted=paint_planes(truth, [0, 1]),
        meaning="instances",
        truth={plane: truth[plane] for plane in (16, 19)},
    )


def huh7() -> Case:
    """Half of the cells that somebody painted in one frame; the other half."""
    image, labels = read("sparse_huh7/images.tif"), read("sparse_huh7/sparse-labels.tif")
    inspected = read("sparse_huh7/inspected-mask.tif") > 0
    # 0 inside what was looked at is background; elsewhere it is not known
    scribbles = np.where(labels > 0, labels + 1, inspected).astype(np.uint16)
    left = np.indices(labels.shape)[2] < np.median(np.nonzero(labels)[2])
    cut = [cell for cell in np.unique(labels)[1:] if left[labels == cell].any()]
    painted = np.where(left | np.isin(labels, cut), scribbles, 0)
    rest = np.where(np.isin(labels, cut), 0, labels)
    return Case(
        image=image, painted=painted, meaning="scribbles", truth={5: rest[5]}, complete=False
    )


def histology() -> Case:
    """Two stained tissue images in colour; three others."""
    image, truth = (read(f"nuclei_dsb2018/rgb256x320-{part}.tif") for part in ("images", "masks"))
    return Case(
        image=image,
        painted=paint_planes(truth, [0, 1]),
        meaning="instances",
        truth={plane: truth[plane] for plane in (4, 6, 11)},
        rgb=True,
    )


def chloroplasts() -> Case:
    """The left third of a large electron micrograph; the right half of it."""
    image, truth = (read(f"em_chloroplast/large-{part}.tif") for part in ("image", "mask"))
    x = np.indices(truth.shape)[1]
    third = x < truth.shape[1] // 3
    painted = np.where(third, truth + 1, 0).astype(np.uint16)
    return Case(
        image=image[None],
        painted=painted[None],
        meaning="scribbles",
        truth={0: truth},
        inside=x > truth.shape[1] // 2,
    )


CASES: dict[str, Callable[[], Case]] = {
    "nuclei": nuclei,
    "phase": phase,
    "membranes": membranes,
    "huh7": huh7,
    "histology": histology,
    "chloroplasts": chloroplasts,
}


def live(until: Callable[[], bool], at_most: float) -> float:
    """Let the viewer live until something holds; return the seconds it took."""
    start = time.perf_counter()
    while not until():
        if time.perf_counter() - start > at_most:
            raise TimeoutError(f"nothing happened for {at_most} s")
        QApplication.processEvents()
        time.sleep(0.005)
    return time.perf_counter() - start


def use(case: Case, name: str, seconds: float, out: Path) -> dict[str, Any]:
    """Train and segment in a viewer, as a user would; return scores and times."""
    viewer = napari.Viewer(title=name)
    viewer.window.resize(1366, 720)
    image = viewer.add_image(case.image, name=name, rgb=case.rgb)
    labels = viewer.add_labels(case.painted, name="painted")
    set_meaning(labels, case.meaning)
    _, dock = viewer.window.add_plugin_dock_widget("napari-live-unet", "Live U-Net")
    jobs = dock.session.jobs
    ready = time.perf_counter() + 5  # a user paints for longer than torch takes to load
    live(lambda: time.perf_counter() > ready, 10)
    trained: list[float] = []
    begin = time.perf_counter()
    jobs.done.connect(lambda: trained.append(time.perf_counter() - begin))
    dock.panels.training.set_budget(seconds=seconds)
    dock.panels.training.train()
    # the plane in view is segmented right after training: two jobs, two times done
    live(lambda: len(trained) == 2, seconds + 120)
    viewer.dims.set_point(0, min(case.truth))
    segmented = time.perf_counter()
    dock.panels.segmentation.segment(image, "whole layer")
    live(lambda: len(trained) == 3, 900)
    segmented = time.perf_counter() - segmented
    result = next(layer for layer in viewer.layers if "segmentation" in layer.name)
    labels.visible = False
    live(lambda: True, 1)
    for _ in range(20):
        QApplication.processEvents()
    viewer.screenshot(str(out / f"{name}.png"), canvas_only=False, flash=False)
    scores = [
        score(truth, np.asarray(result.data[z]), case.inside) for z, truth in case.truth.items()
    ]
    segmenter = dock.session.segmenter
    viewer.close()
    return {
        "SEG": round(float(np.mean([s for s, _ in scores])), 3),
        "AP50": round(float(np.mean([a for _, a in scores])), 3) if case.complete else "not known",
        "images scored": len(scores),
        "training s": round(trained[0], 1),
        "segmentation s": round(segmented, 1),
        "megapixels": round(case.painted.size / 1e6, 2),
        "steps": segmenter.provenance["steps"],
        "downsample": segmenter.downsample,
    }


def score(truth: Array, found: Array, inside: Array | None) -> tuple[float, float]:
    """Return SEG and AP at IoU 0.5, of the cells that lie in ``inside`` if that is given."""
    if inside is not None:
        truth, found = truth * inside, found * inside
    return metrics.seg_score(truth, found), float(metrics.average_precision(truth, found))


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return the results as a Markdown table."""
    columns = list(next(iter(results.values())))
    lines = ["| " + " | ".join(["images", *columns]) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, values in results.items():
        cells = [str(values[column]) for column in columns]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the cases that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for results and pictures")
    parser.add_argument("--seconds", type=float, default=60, help="training time of each case")
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"There is no folder {DATA}; set NAPARI_UNET_DATA.")
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in arguments.only:
        results[name] = use(CASES[name](), name, arguments.seconds, arguments.out)
        print(name, json.dumps(results[name]), flush=True)
    (arguments.out / "results.json").write_text(json.dumps(results, indent=1))
    (arguments.out / "results.md").write_text(table(results))


if __name__ == "__main__":
    main()
