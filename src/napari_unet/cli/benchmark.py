"""``napari-unet benchmark``: how fast this machine segments and trains."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from napari_unet.cli.arguments import add_command, add_json
from napari_unet.cli.output import Report

if TYPE_CHECKING:
    import argparse

    from napari_unet.cli.arguments import Commands

__all__ = ["add_to", "run"]

SIDE = 1024
"""Of the plane that is segmented, in image pixels."""


def add_to(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "benchmark",
        "[MODEL] [--device NAME] [--json]",
        "measure how fast this machine segments and trains",
        "Uses the sample image, your model or the starter model, and a new model of the same size. "
        "Takes a quarter of a minute, during which nothing else should run.",
        "--device cpu",
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", help="a model file")
    parser.add_argument("--device", default="auto", metavar="NAME", help="as for segment [auto]")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    import numpy as np

    from napari_unet.core.annotation import Annotation
    from napari_unet.engine.segmenter import Segmenter
    from napari_unet.engine.speed import measure_speed
    from napari_unet.engine.starter import starter_model
    from napari_unet.sample_data import painted_scribbles, touching_cells

    segmenter = Segmenter.load(args.model) if args.model else starter_model()
    (large, _), (small, truth) = touching_cells((SIDE, SIDE)), touching_cells()
    image, learned = (np.stack([one] * segmenter.in_channels) for one in (large, small))
    painted = Annotation(learned, painted_scribbles(truth), "scribbles")
    found = measure_speed(segmenter, image, painted, args.device)
    report = Report(args.json)
    model = segmenter.describe()
    report.record("Benchmark", model=model, side=SIDE, **asdict(found))
    megapixels = SIDE**2 / found.plane_seconds / 1e6
    report.line(f"{'model':12}{model}")
    report.line(f"{'device':12}{found.device}")
    report.line(
        f"{'segmenting':12}{SIDE} x {SIDE} pixels in {found.plane_seconds:.2g} s, "
        f"{megapixels:.2g} megapixels a second"
    )
    steps = found.steps_per_second
    report.line(f"{'training':12}{steps:.3g} steps a second, {60 * steps:.0f} in a minute")
    return 0
