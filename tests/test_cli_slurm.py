"""Jobs of SLURM that cannot be submitted are told in a sentence, and none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tifffile

from napari_unet.cli import main
from napari_unet.engine.starter import starter_model
from napari_unet.sample_data import touching_cells

pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SLURM on Windows")

REFUSES = """#!/bin/sh
echo "sbatch: error: invalid partition specified: gpuu" >&2
echo "sbatch: error: Batch job submission failed" >&2
exit 1
"""
WORKS = """#!/bin/sh
cp "$1" "$0.$$"  # as SLURM does: it is deleted soon
sh "$0.$$" >/dev/null 2>&1 &
echo "Submitted batch job $$"
"""
ONE_WORKS = f"""#!/bin/sh
if mkdir "$0.taken" 2>/dev/null; then
{WORKS}
else
{REFUSES}
fi
"""


def segmented(folder: Path, sbatch: str) -> subprocess.CompletedProcess[str]:
    """Segment an image with two jobs of the SLURM that a script stands for."""
    tifffile.imwrite(folder / "a.tif", touching_cells((96, 96))[0])
    starter_model().save(folder / "cells.unet")
    programs = folder / "bin"
    programs.mkdir()
    for name, script in {"sbatch": sbatch, "scancel": "#!/bin/sh\n"}.items():
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    command = ["segment", "cells.unet", "a.tif", "-o", "out", "--workers", "2"]
    return subprocess.run(
        [sys.executable, "-m", "napari_unet.cli", *command, "--slurm", "cores=1,memory=1GB"],
        cwd=folder,
        env=os.environ | {"PATH": os.pathsep.join((str(programs), "/usr/bin", "/bin"))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_where_there_is_no_slurm_a_sentence_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a scheduler is started."""
    monkeypatch.setenv("PATH", str(tmp_path))
    model, image = tmp_path / "cells.unet", tmp_path / "a.tif"
    starter_model().save(model)
    tifffile.imwrite(image, touching_cells((96, 96))[0])
    command = ["segment", str(model), str(image), "-o", str(tmp_path / "out")]

    assert main([*command, "--slurm", "cores=1,memory=1GB"]) == 3
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("napari-unet: There is no sbatch on this machine")


def test_what_sbatch_complains_of_is_told(tmp_path: Path) -> None:
    """Its first line, without a traceback, and within seconds."""
    run = segmented(tmp_path, REFUSES)

    assert run.returncode == 3
    assert "submitted no job: sbatch: error: invalid partition specified: gpuu." in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_one_job_that_runs_is_enough(tmp_path: Path) -> None:
    """A limit on the jobs of a user costs only the others."""
    run = segmented(tmp_path, ONE_WORKS)

    assert run.returncode == 0, run.stderr
    assert "1 done, 0 skipped, 0 failed" in run.stdout
    assert run.stderr == ""


@pytest.fixture
def hears_terminals() -> Iterator[None]:
    """Let what is started hear of a terminal that closes, though nohup may run the tests."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hears_terminals")
@pytest.mark.parametrize("submitting", [0, 1])
def test_a_command_that_is_told_to_end_cancels_its_jobs(tmp_path: Path, submitting: int) -> None:
    """As when the terminal is closed: they would start later, and for nobody.

    Also while SLURM thinks about a job, and while Dask connects after that; without a traceback.
    """
    tifffile.imwrite(tmp_path / "a.tif", touching_cells((96, 96))[0])
    starter_model().save(tmp_path / "cells.unet")
    waits = f"#!/bin/sh\ntouch submitted\nsleep {submitting}\necho Submitted batch job 42\n"
    for name, script in {"sbatch": waits, "scancel": '#!/bin/sh\necho "$@" > cancelled\n'}.items():
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    command = ["segment", "cells.unet", "a.tif", "-o", "out", "--slurm", "cores=1,memory=1GB"]
    process = subprocess.Popen(
        [sys.executable, "-m", "napari_unet.cli", *command],
        cwd=tmp_path,
        env=os.environ | {"PATH": os.pathsep.join((str(tmp_path), "/usr/bin", "/bin"))},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "submitted").exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGHUP)
    _, said = process.communicate(timeout=100)

    # in a shell, both are 130: python -m ends as by Ctrl-C where that met the making of a dataclass
    assert process.returncode in (130, -signal.SIGINT)
    # a future of Dask that was met half made complains of it when it is thrown away
    stopped, *_ = said.partition("Exception ignored in: <function Future.__del__ ")
    assert stopped == "napari-unet: stopped.\n"
    assert (tmp_path / "cancelled").read_text() == "42\n"
