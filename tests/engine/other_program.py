"""A program of bioimage.io, run as a process of its own: it tests packages, or predicts with them.

``python other_program.py PACKAGE`` prints the names of the tests that passed, or why one failed.
``python other_program.py PACKAGE IMAGE FOUND FORM BLOCKS`` predicts .npy from .npy (Y, X);
without tiles if BLOCKS is "", else in tiles that grow with it.
"""

from __future__ import annotations

import sys

import numpy as np
from bioimageio.core import (
    create_prediction_pipeline,
    load_model_description,
    predict,
    test_model,
)
from bioimageio.spec import ValidationContext


def main(package: str, *files: str) -> None:
    """Test, or predict."""
    with ValidationContext(perform_io_checks=False):  # those ask the internet
        if not files:
            summary = test_model(package, devices=["cpu"])
            said = [f"{one.status} {one.name} {one.errors or ''}\n" for one in summary.details]
            sys.stdout.writelines(said)
            sys.exit(summary.status != "passed")
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


if __name__ == "__main__":
    main(*sys.argv[1:])
