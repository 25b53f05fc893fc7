"""What the benchmarks measure in processes of their own: `tests/benchmarks/children.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil

BENCHMARKS = Path(__file__).parent / "benchmarks"

SLEEPER = """
import os, time
from children import children

def sleep():
    print(os.getpid(), flush=True)
    time.sleep(100)

if __name__ == "__main__":
    with children() as pool:
        pool.submit(sleep).result()
"""


def test_a_process_ends_when_the_benchmark_that_started_it_is_killed(tmp_path: Path) -> None:
    """Or it would go on, unseen, beside what is measured next."""
    script = tmp_path / "sleeper.py"
    script.write_text(SLEEPER)
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(BENCHMARKS)},
    ) as program:
        assert program.stdout is not None
        child = psutil.Process(int(program.stdout.readline()))
        program.kill()

        child.wait(timeout=30)
