"""What the groups of a process (Linux, cgroup 2) leave it: of containers, of jobs of a cluster.

A job of a cluster is in a group of groups, and any of them may have a limit. In a container the
root is all that is seen.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["cores_allowed", "groups", "memory_left"]

ROOT, TOLD = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")

UNLIMITED = 1 << 62


def groups(root: Path = ROOT, told: Path = TOLD) -> list[Path]:
    """Return the groups whose limits hold for this process, as it is told; none elsewhere."""
    try:
        lines = told.read_text().splitlines()
    except OSError:
        lines = []
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    return [root / own, *(group for group in (root / own).parents if group.is_relative_to(root))]


def memory_left(group: Path) -> int:
    """Return the bytes that the limit of a group leaves."""
    try:
        limit = int((group / "memory.max").read_text())  # "max" where there is none
        used = int((group / "memory.current").read_text())
        told = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return UNLIMITED
    # what was read of files counts as used, until somebody needs the room
    files = sum(int(told.get(f"{kind}_file", 0)) for kind in ("active", "inactive"))
    return max(limit - used + files, 0)


def cores_allowed(group: Path) -> int:
    """Return how many cores the time that a group may use is that of: at least one."""
    try:
        used, each = map(int, (group / "cpu.max").read_text().split())  # "max 100000" without limit
    except (OSError, ValueError):
        return UNLIMITED
    return max(used // max(each, 1), 1)
