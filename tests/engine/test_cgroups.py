"""What the limits of containers, and of jobs of a cluster, leave a process."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_unet.engine.cgroups import cores_allowed, groups, memory_left


def test_a_limit_of_memory_leaves_what_is_not_used(tmp_path: Path) -> None:
    """At most the limit of a container; "max" is none, and a missing file neither."""
    assert memory_left(tmp_path) >= 1 << 50
    (tmp_path / "memory.current").write_text("300\n")
    (tmp_path / "memory.stat").write_text("anon 250\ninactive_file 0\nactive_file 0\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_left(tmp_path) >= 1 << 50
    (tmp_path / "memory.max").write_text("1000\n")
    assert memory_left(tmp_path) == 700
    (tmp_path / "memory.max").write_text("200\n")
    assert memory_left(tmp_path) == 0


def test_files_that_were_read_take_no_memory_from_a_container(tmp_path: Path) -> None:
    """The system keeps their pages, up to the limit, as long as nobody needs the room."""
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("990\n")
    (tmp_path / "memory.stat").write_text("anon 90\nfile 900\ninactive_file 600\nactive_file 200\n")

    assert memory_left(tmp_path) == 810


def test_a_job_of_a_cluster_has_the_limits_of_all_groups_that_it_is_in(tmp_path: Path) -> None:
    """Also where it sees those of other jobs; in a container it sees its own as the root."""
    (tmp_path / "told").write_text("12:cpu:/a\n0::/slurm/job_7/step_0\n")
    found = groups(tmp_path, tmp_path / "told")

    step = tmp_path / "slurm" / "job_7" / "step_0"
    assert found == [step, step.parent, tmp_path / "slurm", tmp_path]
    (tmp_path / "told").write_text("0::/\n")
    assert groups(tmp_path, tmp_path / "told") == [tmp_path]
    assert groups(tmp_path, tmp_path / "not there") == [tmp_path]


@pytest.mark.parametrize(
    ("told", "cores"), [("200000 100000", 2), ("250000 100000", 2), ("50000 100000", 1)]
)
def test_a_container_may_have_fewer_cores_than_its_machine(
    told: str, cores: int, tmp_path: Path
) -> None:
    """By the time that it may use, of which half a core is one."""
    assert cores_allowed(tmp_path) >= 1 << 20
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cores_allowed(tmp_path) >= 1 << 20
    (tmp_path / "cpu.max").write_text(f"{told}\n")
    assert cores_allowed(tmp_path) == cores
