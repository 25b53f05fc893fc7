"""Command-line flags made from the knobs of a configuration: one field, one flag."""

from __future__ import annotations

import argparse
import re
import textwrap
import typing
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, TypeVar

from napari_unet.cli.output import PROGRAM
from napari_unet.core.config import PredictConfig, TrainConfig, knobs
from napari_unet.errors import InputError

__all__ = ["Commands", "add_command", "add_json", "add_knobs", "config_from", "meant", "reader"]

C = TypeVar("C", TrainConfig, PredictConfig)

ALIKE = 0.7
"""From 0 to 1, how much a word must resemble an option to be taken for it, misspelled."""


class Commands(Protocol):
    """What `argparse.ArgumentParser.add_subparsers` returns, which has no public name."""

    def add_parser(self, *args: Any, **kwargs: Any) -> argparse.ArgumentParser:
        """Add a subcommand."""


def add_command(
    commands: Commands, name: str, usage: str, summary: str, notes: str, example: str
) -> argparse.ArgumentParser:
    """Add a subcommand whose help ends with an example."""
    parser = commands.add_parser(
        name,
        usage=f"{PROGRAM} {name} {usage}",
        help=summary,
        description=textwrap.fill(f"{summary[0].upper()}{summary[1:]}. {notes}".strip(), 78),
        epilog=f"example: {PROGRAM} {name} {example}",
        formatter_class=_formatter,
        allow_abbrev=False,
    )
    # wrong usage may be found later, and is told as argparse tells it
    parser.set_defaults(parser=parser)
    return parser


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print events as JSON, one per line")


def add_knobs(parser: argparse.ArgumentParser, config: type[TrainConfig | PredictConfig]) -> None:
    """Add a flag for every field of a configuration; its value is checked as the field's is."""
    group = parser.add_argument_group("settings [default]")
    for name, (kind, default, explanation) in knobs(config).items():
        flag = "--" + name.replace("_", "-")
        shown = f"{default:g}" if kind is float else default
        text = f"{explanation} [{shown}]".replace("%", "%%")
        if kind is bool:
            action = argparse.BooleanOptionalAction
            group.add_argument(flag, action=action, default=default, help=explanation)
        elif typing.get_origin(kind) is Literal:
            choices = typing.get_args(kind)
            group.add_argument(flag, choices=choices, default=default, help=text)
        else:
            read = reader(config, name, kind)
            metavar = "NAME" if kind is str else "N"
            group.add_argument(flag, type=read, default=default, metavar=metavar, help=text)


def config_from(args: argparse.Namespace, config: type[C]) -> C:
    """Return the configuration that the flags of `add_knobs` spell."""
    return config(**{name: getattr(args, name) for name in knobs(config)})


def meant(unknown: Sequence[str], parser: argparse.ArgumentParser) -> str:
    """Say which options some unknown ones resemble, or where they belong, or nothing."""
    from difflib import get_close_matches

    lines = (line.strip() for line in parser.format_help().splitlines())
    named = [re.split(" {2,}", line)[0] for line in lines if line.startswith("-")]
    flags = re.findall(r"--[\w-]+", " ".join(named))
    given = [one.partition("=")[0] for one in unknown if one.startswith("--")]
    if early := [word for word in given if word in flags]:
        return f" (write {' and '.join(early)} behind the command)"
    words = [word.replace("_", "-") for word in given]
    close = [near[0] for word in words if (near := get_close_matches(word, flags, 1, ALIKE))]
    return f" (is {' and '.join(close)} meant?)" if close else ""


def reader(
    config: type[TrainConfig | PredictConfig], name: str, kind: type
) -> Callable[[str], object]:
    """Return what turns the text of a flag into a value its field accepts."""

    def read(text: str) -> object:
        try:
            value = kind(text)
        except ValueError as error:
            wanted = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}") from error
        try:
            config(**{name: value})
        except InputError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        return value

    return read


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=30)
