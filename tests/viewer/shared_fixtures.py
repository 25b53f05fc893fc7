"""Fixtures that both rooms with a viewer use; each room's conftest imports what it needs."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from functools import cache

import pytest
from napari.utils.notifications import notification_manager
from npe2 import PluginManifest
from small_things import LastingHost

from napari_unet.engine.host import Host
from napari_unet.viewer.learning import live

LOOKS_MS = 400
"""Live mode has looked several times by then whether it can begin, or goes on."""


@pytest.fixture(autouse=True, scope="session")
def manifests_read_once() -> Iterator[None]:
    """Read the manifests of the installed plugins once; every viewer parses them all anew."""
    with pytest.MonkeyPatch.context() as patch:
        read = cache(PluginManifest.from_file.__func__)
        patch.setattr(PluginManifest, "from_file", classmethod(read))
        yield


@pytest.fixture(autouse=True)
def live_mode_looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no look of live mode longer than needed."""
    monkeypatch.setattr(live, "RETRY_MS", LOOKS_MS // 4)


@pytest.fixture(scope="session")
def lasting_host(lasting: list[Host]) -> Iterator[LastingHost]:
    """One compute process for all tests with a viewer."""
    host = LastingHost()
    lasting.append(host)
    host.start()
    gc.collect()
    gc.freeze()  # the many collections of the checks for leaks need not walk through all of napari
    yield host
    gc.unfreeze()
    host.leave()


@pytest.fixture(scope="session")
def lasting_light_host(lasting: list[Host]) -> Iterator[LastingHost]:
    """One light compute process, as the background has it, for all tests with a viewer."""
    host = LastingHost(warm_up=("napari_unet.engine.process.tasks",))
    lasting.append(host)
    yield host
    host.leave()


@pytest.fixture
def host(lasting_host: LastingHost) -> Host:
    """The compute process; after a test that let it die, a new one."""
    lasting_host.start()
    return lasting_host


@pytest.fixture
def light_host(lasting_light_host: LastingHost) -> LastingHost:
    """The light compute process; after a test that let it die, a new one."""
    lasting_light_host.start()
    return lasting_light_host


@pytest.fixture
def messages() -> Callable[[], list[tuple[str, str]]]:
    """Return napari's notifications since the viewer was made."""
    return lambda: [(str(n.severity), n.message) for n in notification_manager.records]
