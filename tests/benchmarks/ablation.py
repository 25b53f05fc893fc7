"""What each choice of the default recipe gives, at equal CPU time: one is made otherwise at a time.

    python tests/benchmarks/ablation.py --out results [--kinds nuclei ...] [--changes ...]
        [--seconds 60] [--seeds 1] [--at-once 2]

Trains on the ``develop`` split of kinds.py, each time on one thread of a process of its own, so
seconds are CPU seconds where no more run at once than there are cores and nothing else runs. Writes
``ablation.json`` (what is in it already is not run again, so a long run can be broken off) and from
it ``ablation.md``. The default is trained with three seeds at least, so its row says how much is
chance.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import as_completed
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from children import children
from kinds import DATA, HIGHER, KINDS
from learning_curves import SHOWN

Row = dict[str, Any]

SEEDS = 3
"""Trainings of the default, at least."""

CHANGES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "random weights instead of the starter model": {"start": "random"},
    "random weights, depth 2": {"start": "random", "depth": 2},
    "random weights, depth 4 as in the paper": {"start": "random", "depth": 4},
    "random weights, 8 channels": {"start": "random", "base_channels": 8},
    "random weights, 32 channels": {"start": "random", "base_channels": 32},
    "random weights, grey values stretched between percentiles": {"start": "random", "linear": 1e3},
    "random weights, no dropout": {"start": "random", "dropout": False},
    "full resolution": {"downsample": 1},
    "32 bits": {"half": False},
    "SGD, momentum 0.99": {"optimiser": "sgd", "rate": 1e-3, "momentum": 0.99},
    "a third of the rate": {"rate": 1e-3},
    "rate not annealed": {"anneal": False},
    "no warm-up": {"warm_up": 0},
    "one rate for all nodes": {"fan_in": 0},
    "silent nodes left": {"revive": 0},
    "weights not averaged": {"average": 0.0},
    "patches of 68": {"patch": 68},
    "patches of 260": {"patch": 260},
    "2 patches a step": {"batch": 2},
    "classes balanced": {"balance": 1.0},
    "no border weights": {"w0": 0.0},
    "border weights not limited": {"border_limit": 0.0},
    "one resolution": {"scales": 1},
    "no elastic deformation": {"elastic": 0.0},
    "elastic deformation of 10 pixels": {"elastic": 10.0},
    "neither turned nor mirrored": {"rotate": False, "mirror": False},
    "sizes not varied": {"scale": 0.0},
    "grey values varied as by the paper's recipe": {
        "contrast": 0.25, "brightness": 0.1, "gamma": 0.0, "blur": 0.0, "illumination": 0.0,
    },
    "noise": {"noise": 0.2},
}  # fmt: skip
"""Of settings of training, of the recipe and of its augmentation, and what `elsewhere` knows."""


def measure(change: str, name: str, seed: int, seconds: float) -> Row:
    """Train once and score; runs in a process of its own."""
    import torch
    from choices import scores, trained

    import napari_unet as nu
    from napari_unet.engine.learning import recipe as recipes

    torch.set_num_threads(1)
    values, default = dict(CHANGES[change]), recipes.DEFAULT
    elsewhere(values)
    config = nu.TrainConfig(
        seconds=seconds, seed=seed, device="cpu", **taken(values, nu.TrainConfig)
    )
    varied = replace(default.augmentation, **taken(values, type(default.augmentation)))
    recipes.DEFAULT = replace(default, augmentation=varied, **values)
    kind = KINDS[name]("develop")
    model = trained(kind, config, None)
    found = {"scores": scores(kind, model), "steps": model.provenance["steps"]}
    return {"change": change, "kind": name, "seed": seed, "seconds": seconds} | found


def elsewhere(values: dict[str, Any]) -> None:
    """Take those values out that are no settings, and heed them in this process."""
    from napari_unet.core import normalise
    from napari_unet.engine.learning.dropout import SeededDropout

    # where all grey values are linear, the curve is a stretch between two percentiles
    normalise.LINEAR = values.pop("linear", normalise.LINEAR)
    if not values.pop("dropout", True):
        SeededDropout.forward = lambda _, x: x


def taken(values: dict[str, Any], of: Any) -> dict[str, Any]:
    """Take those values out that are fields of a dataclass."""
    names = {field.name for field in fields(of)}
    return {name: values.pop(name) for name in [*values] if name in names}


def planned(changes: list[str], kinds: list[str], seeds: int) -> Iterator[tuple[str, str, int]]:
    """Yield what is to be trained, the default of all kinds first."""
    for change in changes:
        for name in kinds:
            for seed in range(seeds if CHANGES[change] else max(seeds, SEEDS)):
                yield change, name, seed


def table(rows: list[Row], seconds: float) -> str:
    """Return all scores as Markdown."""
    known = {row["kind"] for row in rows}
    columns = [(name, score) for name in KINDS if name in known for score in SHOWN[name]]
    titles = [f"{n}, {s}" + ("" if HIGHER[n] else " (lower is better)") for n, s in columns]
    lines = [
        f"| {seconds:g} CPU seconds | {' | '.join(titles)} |",
        "|---" * (len(titles) + 1) + "|",
    ]
    for change in CHANGES:
        found: dict[tuple[str, str], list[str]] = {column: [] for column in columns}
        for row in sorted(rows, key=lambda row: int(row["seed"])):
            if row["change"] == change:
                for score in SHOWN[row["kind"]]:
                    found[row["kind"], score].append(f"{row['scores'][score]:.3f}")
        if any(found.values()):
            lines.append(f"| {change} | {' | '.join(', '.join(v) for v in found.values())} |")
    return "\n".join(lines) + "\n"


def save(out: Path, rows: list[Row], seconds: float) -> None:
    """Write all that is known."""
    path = out / "ablation.json"
    path.with_suffix(".new").write_text(json.dumps(rows, indent=1) + "\n")
    os.replace(path.with_suffix(".new"), path)
    (out / "ablation.md").write_text(table(rows, seconds))


def main() -> None:
    """Run what is not known yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--changes", nargs="+", choices=CHANGES, default=list(CHANGES))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each change")
    parser.add_argument("--at-once", type=int, default=2, help="trainings, each on one core")
    parser.add_argument("--out", type=Path, required=True, help="folder for results")
    chosen = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"There is no folder {DATA}; set NAPARI_UNET_DATA.")
    os.environ["OMP_NUM_THREADS"] = "1"
    chosen.out.mkdir(parents=True, exist_ok=True)
    path = chosen.out / "ablation.json"
    rows: list[Row] = json.loads(path.read_text()) if path.exists() else []
    rows = [row for row in rows if row["seconds"] == chosen.seconds]
    known = {(row["change"], row["kind"], row["seed"]) for row in rows}
    left = [one for one in planned(chosen.changes, chosen.kinds, chosen.seeds) if one not in known]
    with children(chosen.at_once) as pool:
        runs = [pool.submit(measure, *one, chosen.seconds) for one in left]
        for run in as_completed(runs):
            rows.append(run.result())
            print(json.dumps(rows[-1]), flush=True)
            save(chosen.out, rows, chosen.seconds)
    print(table(rows, chosen.seconds))


if __name__ == "__main__":
    main()
