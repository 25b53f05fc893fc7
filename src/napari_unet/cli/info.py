"""``napari-unet info``: versions, the device in words, and what a model file holds."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import napari_unet
from napari_unet.cli.arguments import add_command, add_json
from napari_unet.cli.output import Report

if TYPE_CHECKING:
    import argparse

    from napari_unet.cli.arguments import Commands

__all__ = ["add_to", "run"]

PACKAGES = ("napari", "torch", "numpy")


def add_to(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "info",
        "[MODEL] [--json]",
        "show versions, the device, and what a model is",
        "",
        "cells.safetensors",
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", help="a model file")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show what is known."""
    from napari_unet.engine.device import describe, select_device
    from napari_unet.engine.namesake import name_clash
    from napari_unet.engine.segmenter import Segmenter

    segmenter = Segmenter.load(args.model) if args.model else None
    report = Report(args.json)
    versions = {"napari-live-unet": napari_unet.__version__, "Python": platform.python_version()}
    versions |= {name: _version(name) for name in PACKAGES}
    device, clash = describe(select_device()), name_clash()
    report.record("Info", versions=versions, device=device, clash=clash or None)
    for name, number in versions.items():
        report.line(f"{name:18}{number}")
    report.line(f"{'device':18}{device}")
    if clash:
        report.line(clash)
    if segmenter is not None:
        report.record("Model", path=args.model, description=segmenter.describe(), model=segmenter)
        report.line(f"\n{args.model}: {segmenter.describe()}")
        for name, value in segmenter.provenance.items():
            report.line(f"{name:18}{value}")
    return 0


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
