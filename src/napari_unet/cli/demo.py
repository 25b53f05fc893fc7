"""``napari-unet demo``: the sample image in napari, or trained and drawn without a screen."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentTypeError
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.arguments import add_command, add_json, reader
from napari_unet.cli.output import Report, remark
from napari_unet.cli.replacing import check_folder
from napari_unet.core.config import TrainConfig

if TYPE_CHECKING:
    import argparse

    from napari_unet.cli.arguments import Commands

__all__ = ["add_to", "has_screen", "run"]


def add_to(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "demo",
        "[--seconds N] [--headless] [-o DIR] [--json]",
        "try it on a sample image with a few painted cells",
        "Opens napari where there is a screen. Elsewhere it trains, segments, and writes demo.png "
        "and demo.json.",
        "--headless --seconds 30 -o demo/",
    )
    parser.add_argument(
        "--seconds", type=_seconds, default=60.0, metavar="N", help="training time [60]"
    )
    parser.add_argument("--headless", action="store_true", help="open no window")
    parser.add_argument(
        "-o", "--output", default=".", metavar="DIR", help="where to write [this folder]"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show the sample in napari, or train on it and draw the result."""
    if args.headless or not has_screen() or not _open_demo():
        _train_and_draw(Path(args.output), TrainConfig(seconds=args.seconds), Report(args.json))
    return 0


def has_screen() -> bool:
    """Whether a window can be seen; on Linux without a display server, none can."""
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open_demo() -> bool:
    """Open napari and return once it is closed; False if it cannot be opened."""
    try:
        from napari_unet.widgets.docking import open_demo
    except ImportError as error:
        remark(
            f"napari cannot open a window here ({error}); pip install 'napari-live-unet[all]' "
            f"brings what it needs. Going on without a window."
        )
        return False
    open_demo()
    return True


def _train_and_draw(folder: Path, config: TrainConfig, report: Report) -> None:
    """Train on the painted cells of the sample; write what came out, and how good it is."""
    from napari_unet.cli.picture import picture
    from napari_unet.cli.scores import cell_scores
    from napari_unet.cli.train import Keeper, follow
    from napari_unet.core.annotation import Annotation
    from napari_unet.engine.atomic import write_atomically
    from napari_unet.engine.inference import segment
    from napari_unet.engine.training import train
    from napari_unet.sample_data import painted_scribbles, touching_cells

    check_folder(folder)
    image, truth = touching_cells()
    painted = painted_scribbles(truth)
    report.line(f"Training for {config.seconds:g} s on a sample image with a few painted cells.")
    keeper = Keeper(None)
    follow(train([Annotation(image, painted, "scribbles")], config), report, keeper)
    assert keeper.kept is not None
    found = segment(keeper.kept, image)
    score = cell_scores(truth, found)
    png = picture(image, painted, found, truth, f"SEG {score['SEG']:.2f}")
    facts = {"scores": score, **keeper.kept.provenance}
    write_atomically(folder / "demo.json", lambda file: file.write(json.dumps(facts).encode()))
    write_atomically(folder / "demo.png", lambda file: file.write(png))
    report.record("Demo", picture=folder / "demo.png", scores=score)
    report.line(", ".join(f"{name} {score[name]:.3f}" for name in ("SEG", "AP@0.5", "IoU")))
    report.line(f"Picture: {(folder / 'demo.png').resolve()}")


def _seconds(text: str) -> object:
    value = reader(TrainConfig, "seconds", float)(text)
    if value == 0:
        raise ArgumentTypeError("give more than 0 seconds")
    return value
