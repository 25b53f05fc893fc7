"""What the dock would do now, as a Python script and as a command line, for elsewhere and later."""

from __future__ import annotations

import dataclasses
import math
import re
import shlex
from typing import Any

from napari_unet import __version__
from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.errors import InputError
from napari_unet.viewer.scripts.as_files import LayerFile, Lesson, Plan, Work

__all__ = ["as_command_line", "as_python"]

PROGRAM = "napari-unet"
RESULTS = "segmented"

IMPORTS = {
    "napari_unet": ("Annotation", "PredictConfig", "Segmenter", "TrainConfig", "segment", "train"),
    "napari_unet.cli.interrupt": ("finishing_at_ctrl_c",),
    "napari_unet.engine.files": ("read_image", "read_labels", "write_labels"),
    "napari_unet.engine.process.mailbox": ("Mailbox",),
}
"""What a script may need, by the module that has it."""


def as_python(work: Work) -> str:
    """Return a Python script.

    Raises
    ------
    InputError
        If layers do not fit, nothing is painted, or there is nothing to train on and no model.
    """
    plan = Plan(work)
    lines = [f"segmenter = Segmenter.load({plan.start!r})"] if plan.start else []
    if plan.lessons:
        lines += _python_training(plan, work.training)
    settings = _arguments(work.prediction)
    config = f", PredictConfig({settings})" if settings else ""
    at_hand = plan.lessons[-1].file if plan.lessons else None
    for file in plan.segmented:
        lines += [""] if file is at_hand else ["", f"image = {_reading(file)}"]
        part = "image" if plan.plane is None else f"image[:, {plan.plane}]"
        plane = "" if plan.plane is None else f"_{plan.plane}"
        path = f"{RESULTS}/{file.stem}{plane}_labels.tif"
        lines.append(f"write_labels({path!r}, segment(segmenter, {part}{config}))")
    text = "\n".join(lines).strip("\n")
    head = [f"# What the dock of Live U-Net {__version__} would do.", *_comments(plan.remarks)]
    return "\n".join([*head, *_imports(text), "", text, ""])


def as_command_line(work: Work) -> str:
    """Return commands, one a line, for the shells of Linux and macOS and the prompt of Windows.

    Raises
    ------
    InputError
        As for `as_python`, and where only a script can say what the dock would do.
    """
    plan = Plan(work)
    _check_sayable(plan)
    commands = [_mask_command(lesson) for lesson in plan.lessons if lesson.region is not None]
    if plan.lessons:
        commands.append(_train_command(plan, work.training))
    remarks = list(plan.remarks)
    if plan.plane is not None:
        remarks.append(
            f"This segments every plane of the file; the dock would segment plane {plan.plane} "
            f"only, counted from 0."
        )
    # without --overwrite, a second run would keep what an older model found
    commands.append([PROGRAM, "segment", plan.model, *(file.path for file in plan.segmented)])
    commands[-1] += ["-o", RESULTS, "--overwrite", *_flags(work.prediction)]
    # echo: neither the prompt of Windows nor that of macOS knows comments
    lines = [*(["echo", remark] for remark in remarks), *commands]
    return "".join(" ".join(map(_quoted, line)) + "\n" for line in lines)


def _python_training(plan: Plan, config: TrainConfig) -> list[str]:
    lines = ["annotations = []"]
    for lesson in plan.lessons:
        lines += [
            "",
            f"image = {_reading(lesson.file)}",
            f"labels = read_labels({lesson.labels!r})",
        ]
        region = ""
        if lesson.region is not None:
            region = ", region=region"
            lines += [
                f"region = np.zeros({lesson.shape}, dtype=bool)  # where everything is labelled",
                f"for box in {lesson.region}:",
                "    region[tuple(slice(*span) for span in box)] = True",
            ]
        classes = f", classes={lesson.classes}" if lesson.classes else ""
        annotation = f"Annotation(image, labels, meaning={lesson.meaning!r}{region}{classes})"
        lines.append(f"annotations.append({annotation})")
    more = ", segmenter=segmenter" if plan.start else ""
    endless = not config.seconds and not config.steps
    more += ", mailbox=mailbox" if endless else ""
    loop = [
        f"for event in train(annotations, TrainConfig({_arguments(config)}){more}):",
        "    pass",
    ]
    if endless:
        begin = ["mailbox = Mailbox()", "with finishing_at_ctrl_c(mailbox):  # without a limit"]
        loop = [*begin, *(f"    {line}" for line in loop)]
    return [*lines, "", *loop, "segmenter = event.segmenter", f"segmenter.save({plan.model!r})"]


def _reading(file: LayerFile) -> str:
    """Return an expression for the pixels, (C, Y, X) or (C, Z, Y, X)."""
    read = f"read_image({file.path!r})"
    if not file.loses_channels:
        return read
    stack = file.stack
    planes = math.prod(stack.leading)
    shape = (stack.channels, *((planes,) if planes > 1 else ()), *stack.plane_shape)
    stored = tuple(map(int, stack.data.shape))
    return f"np.moveaxis({read}.reshape{stored}, {stack.channel_axis}, 0).reshape{shape}"


def _comments(remarks: list[str]) -> list[str]:
    return [f"# {remark}" for remark in remarks]


def _imports(text: str) -> list[str]:
    """Return the imports that a text needs."""
    lines = ["import numpy as np", ""] if "np." in text else []
    for module, names in IMPORTS.items():
        needed = [name for name in names if re.search(rf"\b{name}\(|\b{name}\.", text)]
        if needed:
            lines.append(f"from {module} import {', '.join(needed)}")
    return lines


def _changed(config: TrainConfig | PredictConfig) -> dict[str, Any]:
    """Return the settings that differ from the defaults; whole numbers without a point."""
    values = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if getattr(config, field.name) != field.default
    }
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in values.items()
    }


def _arguments(config: TrainConfig | PredictConfig) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in _changed(config).items())


def _flags(config: TrainConfig | PredictConfig) -> list[str]:
    flags = []
    for name, value in _changed(config).items():
        word = name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(f"--{word}" if value else f"--no-{word}")
        elif str(value).startswith("-"):  # -1e-05 by itself would be taken for a flag
            flags.append(f"--{word}={value}")
        else:
            flags += [f"--{word}", str(value)]
    return flags


def _check_sayable(plan: Plan) -> None:
    """Raise an `InputError` if flags cannot say it."""
    files = {lesson.file for lesson in plan.lessons}.union(plan.segmented)
    lossy = [file.path for file in files if file.loses_channels]
    if lossy:
        raise InputError(
            f"{lossy[0]} will be saved from a layer with channels, but napari does not write which "
            f"axis they are on, so the command line would take them for planes. Copy as Python."
        )
    if any(lesson.classes for lesson in plan.lessons):
        raise InputError(
            "The labels have classes, which the command line reads from a table in a file "
            "(--classes). Copy as Python."
        )
    meanings = sorted({lesson.meaning for lesson in plan.lessons})
    regions = {lesson.region is None for lesson in plan.lessons}
    stems = {lesson.file.stem for lesson in plan.lessons}
    if len(meanings) > 1 or len(regions) > 1 or len(stems) < len(plan.lessons):
        raise InputError(
            f"The command line trains on images of different names with labels of one meaning, "
            f"all with training regions or none; here are {', '.join(sorted(stems))} with "
            f"{' and '.join(meanings)}. Copy as Python."
        )


def _mask(lesson: Lesson) -> str:
    return f"{lesson.file.stem}_region.tif"


def _mask_command(lesson: Lesson) -> list[str]:
    """Return the command that writes the training regions as a mask."""
    box = "[b - a for a, b in box], np.uint8), [(a, n - b) for (a, b), n in zip(box, shape)]"
    mask = f"sum((np.pad(np.ones({box}) for box in boxes), np.zeros(shape, np.uint8))"
    code = (
        f"import numpy as np; from napari_unet.engine.files import write_labels; "
        f"shape = {lesson.shape}; boxes = {lesson.region}; "
        f"write_labels({_mask(lesson)!r}, {mask})"
    )
    return ["python", "-c", code]


def _train_command(plan: Plan, config: TrainConfig) -> list[str]:
    lessons = plan.lessons
    command = [PROGRAM, "train", *(lesson.file.path for lesson in lessons)]
    command += ["--labels", *(lesson.labels for lesson in lessons)]
    command += ["--meaning", lessons[0].meaning]
    if lessons[0].region is not None:
        command += ["--region", *(_mask(lesson) for lesson in lessons)]
    if plan.start:
        command += ["--continue", plan.start]
    return [*command, "-o", plan.model, *_flags(config)]


def _quoted(word: str) -> str:
    """Quote a word: with double quotes, which Windows knows, too, wherever they do."""
    if re.fullmatch(r"[\w@%+=:,./-]+", word, flags=re.ASCII):
        return word
    return shlex.quote(word) if set(word) & set('"$`\\!') else f'"{word}"'
