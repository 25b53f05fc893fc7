"""What Stop and Finish leave of the same training, after some seconds of its minute.

    python tests/benchmarks/finishing.py [--after 20] [--kinds nuclei ...] [--split report]

Prints a line of JSON for each kind (kinds.py): the scores of both models on images that were not
painted, and the seconds from **Finish** to the last step, and from there to the end. Two threads;
nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, get_args

import torch
from choices import scores
from kinds import DATA, KINDS, Kind, Split

import napari_unet as nu
from napari_unet.engine.events import Learned, StepDone, Trained
from napari_unet.engine.process.mailbox import Finish, Mailbox

THREADS = 2


def measured(kind: Kind, after: float) -> dict[str, Any]:
    """Train, look at what a stop would leave, and finish."""
    mailbox, stopped, finished, learned = Mailbox(), None, 0.0, 0.0
    config = nu.TrainConfig(seconds=60, device="cpu")
    for event in nu.train(kind.painted, config, mailbox=mailbox):
        if isinstance(event, StepDone) and stopped is None and event.seconds >= after:
            stopped, finished = event.segmenter, event.seconds
            mailbox.put(Finish())
        elif isinstance(event, Learned):
            learned = event.seconds
    assert stopped is not None
    assert isinstance(event, Trained)
    return {
        "stopped": scores(kind, stopped),
        "finished": scores(kind, event.segmenter),
        "seconds to the last step": round(learned - finished, 1),
        "seconds of fitting": round(event.seconds - learned, 1),
    }


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--after", type=float, default=20.0, help="seconds")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--split", choices=get_args(Split), default="report")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"There is no folder {DATA}; set NAPARI_UNET_DATA.")
    torch.set_num_threads(THREADS)
    for name in arguments.kinds:
        found = measured(KINDS[name](arguments.split), arguments.after)
        print(json.dumps({"images": name, **found}), flush=True)


if __name__ == "__main__":
    main()
