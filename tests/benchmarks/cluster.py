"""How much faster a batch is in several processes than in one, and that its files are the same.

One command::

    python tests/benchmarks/cluster.py

Images of drawn cells are segmented with the starter model by one worker with one thread, and by
more of them, in turns. Workers are started, and have segmented an image each, before the clock
runs: that takes some seconds, once, however many images there are.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from operator import le
from pathlib import Path

import tifffile
import torch
from sidebyside import Result, machine, write

from napari_unet import sample_data
from napari_unet.core.config import PredictConfig
from napari_unet.engine.batch import segment_files
from napari_unet.engine.cluster import local_workers
from napari_unet.engine.daskexecutor import DaskExecutor
from napari_unet.engine.items.events import BatchDone
from napari_unet.engine.starter import starter_model

GOAL = 1.8
"""How many times as fast as one worker two of them should be at least."""


def segment(images: Sequence[Path], folder: Path, executor: DaskExecutor) -> tuple[float, str]:
    """Segment images; return the seconds that it took and a digest of what was written."""
    began = time.perf_counter()
    config = PredictConfig(device="cpu")
    *_, last = segment_files(starter_model(), images, folder, config, executor=executor)
    took = time.perf_counter() - began
    assert isinstance(last, BatchDone)
    assert last.done == len(images)
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.tif")):
        digest.update(path.read_bytes())
    return took, digest.hexdigest()


def main() -> None:
    """Measure, and print how it went."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=12, help="how many")
    parser.add_argument("--side", type=int, default=768, help="of the images, in pixels")
    parser.add_argument("--workers", type=int, nargs="+", default=[2], help="beside one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    args = parser.parse_args()
    torch.set_num_threads(1)  # which the workers share
    shape = (args.side, args.side)
    times: dict[str, list[float]] = {}
    digests = set()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        images = [folder / f"{seed}.tif" for seed in range(args.images)]
        for seed, path in enumerate(images):
            tifffile.imwrite(path, sample_data.touching_cells(shape, seed=seed)[0])
        for turn in range(args.rounds):
            for count in (1, *args.workers):
                with local_workers(count) as executor:
                    segment(images[:count], folder / f"warm {turn} {count}", executor)
                    took, digest = segment(images, folder / f"{turn} {count}", executor)
                times.setdefault(named(count), []).append(took)
                digests.add(digest)
    result = Result(f"{args.images} images of {args.side} x {args.side} pixels")
    for name, values in times.items():
        result.add(name, tuple(values))
    for count in args.workers:
        fast = partial(le, GOAL) if count == 2 else bool
        target = f"at least {GOAL}" if count == 2 else ""
        name = f"{named(count)} beside one"
        result.ratio(name, times[named(1)], times[named(count)], target, fast)
    write(args.json, result, machine("torch", "distributed"))
    print(f"  the files are {'the same' if len(digests) == 1 else 'NOT the same'}")


def named(count: int) -> str:
    """Say how many workers."""
    return "1 worker" if count == 1 else f"{count} workers"


if __name__ == "__main__":
    main()
