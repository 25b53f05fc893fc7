"""``napari-unet export``: a model for Fiji, ilastik, QuPath and other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.arguments import add_command, add_json
from napari_unet.cli.output import Report
from napari_unet.cli.replacing import check_package_place

if TYPE_CHECKING:
    import argparse

    from napari_unet.cli.arguments import Commands

__all__ = ["add_to", "run"]


def add_to(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "export",
        "MODEL IMAGE -o FILE.zip [--name TEXT] [--fixed] [--json]",
        "write a model for Fiji, ilastik, QuPath and others",
        "A package of bioimage.io with the network as TorchScript and ONNX. It "
        "contains a part of the image, with which other programs can check their results.",
        "cells.safetensors image.tif -o cells.zip",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="a model file")
    add("image", metavar="IMAGE", help="one like those that the model is for")
    add("-o", "--output", required=True, metavar="FILE.zip", help="where to write")
    add("--name", default="", metavar="TEXT", help="what the model is called [as its file]")
    add("--fixed", action="store_true", help="map grey values as in IMAGE, for programs with tiles")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export, and say where to."""
    from napari_unet.engine.exporting.package import export_model
    from napari_unet.engine.formats.imagefile import open_image
    from napari_unet.engine.segmenter import Segmenter

    check_package_place(Path(args.output))
    segmenter, image = Segmenter.load(args.model), open_image(args.image).data
    name = args.name or Path(args.model).stem
    export_model(segmenter, image, args.output, name=name, fixed=args.fixed)
    report = Report(args.json)
    report.record("Exported", path=args.output, model=segmenter.describe())
    report.line(f"{segmenter.describe()} -> {args.output}")
    return 0
