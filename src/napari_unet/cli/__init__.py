"""The command ``napari-unet``: the same generators as the dock's, printed.

Exit codes: 0 done, 1 training broke off, 2 wrong usage, 3 an image, labels or a model file cannot
be used, 4 the device, the memory or the disk does not suffice, 5 some images failed, 130 stopped.
Importing this package loads no torch; a command does when it runs.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import napari_unet
from napari_unet.cli.arguments import meant
from napari_unet.cli.benchmark import add_to as add_benchmark
from napari_unet.cli.demo import add_to as add_demo
from napari_unet.cli.evaluate import add_to as add_evaluate
from napari_unet.cli.export import add_to as add_export
from napari_unet.cli.failures import failure
from napari_unet.cli.info import add_to as add_info
from napari_unet.cli.magnification import add_to as add_magnification
from napari_unet.cli.output import PROGRAM, complain
from napari_unet.cli.segment import add_to as add_segment
from napari_unet.cli.train import add_to as add_train

__all__ = ["main"]

STOPPED = 130

# tifffile's remarks on damaged files are in the messages already
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; wrong usage raises SystemExit(2)."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # a file name that the terminal's encoding lacks must not end a batch
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        args = _understood(argv)
        return int(args.run(args))
    except BrokenPipeError:
        # the reader of the output is gone; nor may Python flush into the closed pipe at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return STOPPED
    except KeyboardInterrupt:
        complain("stopped.")
        return STOPPED
    except Exception as error:
        told = failure(error)
        if told is None:
            raise
        complain(told[0])
        return told[1]


def _understood(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments, read; wrong usage raises SystemExit(2)."""
    args, unknown = _parser().parse_known_args(argv)
    if unknown:
        # the usage of the command, where argparse shows that of the whole program
        hint = meant(unknown, args.parser)
        args.parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    return args


def _open_closed_streams() -> None:
    """Let what is printed into a closed stream vanish, as after ``>&-`` in a shell.

    In the order of their numbers, so that no file that is opened later is taken for one of them.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - to the end of the program


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Train a U-Net on a few painted cells, and segment images with it.",
        epilog=f"example: {PROGRAM} demo\n\n{PROGRAM} COMMAND --help explains each command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    version = f"{PROGRAM} {napari_unet.__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    acting = (add_demo, add_train, add_segment, add_magnification)
    for add_to in (*acting, add_evaluate, add_export, add_info, add_benchmark):
        add_to(commands)
    return parser
