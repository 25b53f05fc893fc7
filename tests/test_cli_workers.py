"""Flags that bring workers, and the job script of the documentation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tifffile

from napari_unet.cli import main
from napari_unet.engine.files import read_labels
from napari_unet.engine.starter import starter_model
from napari_unet.sample_data import touching_cells

PAGE = Path(__file__).parents[1] / "docs" / "cluster.md"


@pytest.mark.skipif(sys.platform == "win32", reason="the script is for bash")
def test_the_job_script_of_the_documentation_runs(tmp_path: Path) -> None:
    """As it stands there, on a machine without SLURM."""
    pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    scripts = re.findall(r"```sh\n(#!/bin/bash.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (script,) = (script for script in scripts if "--workers" in script)
    (tmp_path / "images").mkdir()
    for seed in range(2):
        image = touching_cells((96, 96), seed=seed)[0]
        tifffile.imwrite(tmp_path / "images" / f"{seed}.tif", image)
    starter_model().save(tmp_path / "cells.safetensors")
    (tmp_path / "job.sh").write_text(script)
    program = str(Path(sys.executable).parent)
    run = subprocess.run(
        ["bash", "job.sh"],
        cwd=tmp_path,
        env=os.environ | {"PATH": os.pathsep.join((program, os.environ["PATH"]))},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert "2 done, 0 skipped, 0 failed" in run.stdout
    assert run.stderr == ""
    assert all(read_labels(path).max() > 3 for path in (tmp_path / "segmented").glob("*.tif"))


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (("--workers", "0"), "'0' is not a number of workers"),
        (("--workers", "many"), "'many' is not a number of workers"),
        (("--scheduler", "tcp://a:1", "--slurm", "cores=1"), "not allowed with argument"),
    ],
)
def test_workers_are_asked_for_in_one_way(
    flags: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Anything else is wrong usage."""
    with pytest.raises(SystemExit) as ended:
        main(["segment", "a.unet", "a.tif", "-o", "out", *flags])
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err
