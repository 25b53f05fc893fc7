"""``napari-unet magnification``: how large the objects of images are for a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.cli.arguments import add_command, add_json
from napari_unet.cli.output import Report, complain, remark

if TYPE_CHECKING:
    import argparse

    from napari_unet.cli.arguments import Commands

__all__ = ["add_to", "run"]


def add_to(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "magnification",
        "MODEL IMAGES... [--device NAME] [--json]",
        "find how much larger objects are than the painted ones",
        "For images that were all taken with the same other objective. Prints the number to give "
        "to 'segment --magnification': the one at which the model is surest of itself.",
        "cells.safetensors images/",
    )
    parser.add_argument("model", metavar="MODEL", help="a model file")
    parser.add_argument("images", nargs="+", metavar="IMAGES", help="images, folders or patterns")
    parser.add_argument("--device", default="auto", metavar="NAME", help="as for segment [auto]")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Find it, and print the number alone."""
    from napari_unet.core.config import PredictConfig
    from napari_unet.engine.findmagnification import find_magnification, spread
    from napari_unet.engine.formats.imagefile import open_image
    from napari_unet.engine.items.given import images_given
    from napari_unet.engine.segmenter import Segmenter

    config = PredictConfig(device=args.device)
    segmenter = Segmenter.load(args.model)
    files = spread([image for image, _ in images_given(args.images, remark=complain)])
    found = find_magnification(segmenter, [open_image(file).data for file in files], config)
    report = Report(args.json)
    report.record("Magnification", magnification=found, images=files)
    report.line(f"{found:g}")
    if found == 1 and not args.json:
        remark("The objects are about as large as those the model learned from.")
    return 0
