"""A program of bioimage.io, run as a process of its own: it tests packages, or predicts with them.

Each line that it reads is a JSON list, and it answers with a line: whether it went well, and what
it said. ``[PACKAGE]`` tells the names of the tests that passed, or why one failed.
``[PACKAGE, IMAGE, FOUND, FORM, BLOCKS]`` predicts .npy from .npy (Y, X); without tiles if BLOCKS is
"", else in tiles that grow with it.
"""

from __future__ import annotations

import json
import os
import sys
import traceback

import numpy as np
from bioimageio.core import (
    create_prediction_pipeline,
    load_model_description,
    predict,
    test_model,
)
from bioimageio.spec import ValidationContext


def done(package: str, *files: str) -> tuple[bool, str]:
    """Test, or predict."""
    with ValidationContext(perform_io_checks=False):  # those ask the internet
        if not files:
            summary = test_model(package, devices=["cpu"])
            said = [f"{one.status} {one.name} {one.errors or ''}" for one in summary.details]
            return summary.status == "passed", "\n".join(said)
        image, found, form, blocks = files
        model = load_model_description(package)
        # not as a context, the end of which can take for ever
        program = create_prediction_pipeline(model, weight_format=form, devices=["cpu"])
        sample = predict(
            model=program,
            inputs=np.load(image)[None, None].astype(np.float32),
            blocksize_parameter=int(blocks) if blocks else None,
        )
        np.save(found, sample.members["probabilities"].data.to_numpy()[0])
        return True, ""


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the libraries print is no answer
    for line in sys.stdin:
        try:
            answer = done(*json.loads(line))
        except Exception:  # noqa: BLE001 (told to whoever asked)
            answer = False, traceback.format_exc()
        answers.write(f"{json.dumps(answer)}\n")
        answers.flush()
