"""What the tests of this room share: one warm compute process, and a session."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from shared_fixtures import (  # noqa: F401 (fixtures)
    host,
    lasting_host,
    lasting_light_host,
    light_host,
    live_mode_looks_often,
    manifests_read_once,
    messages,
)

from napari_unet.engine.host import Host
from napari_unet.viewer.background import Background
from napari_unet.viewer.session import Session


@pytest.fixture
def viewer(request: pytest.FixtureRequest) -> Any:
    """A viewer without a window, which is quicker, or a real one where a test asks for it."""
    if getattr(request, "param", "model") == "model":
        return ViewerModel()
    return request.getfixturevalue("make_napari_viewer")()


@pytest.fixture
def session(
    viewer: Any,
    host: Host,  # noqa: F811 (the fixture)
    light_host: Host,  # noqa: F811
    qtbot: Any,  # noqa: ARG001 (Qt's loop)
) -> Iterator[Session]:
    """The session of that viewer, with the processes that are there already."""
    notification_manager.records.clear()
    session = Session.of(viewer)
    session.host = host
    session.background.close()
    session.background = Background(light_host)
    yield session
    session.close()


@pytest.fixture
def finish(session: Session, qtbot: Any) -> Callable[..., float]:
    """Wait until the running job has ended; return the seconds it took."""

    def wait(seconds: float = 100.0) -> float:
        start = time.monotonic()
        qtbot.wait_until(lambda: session.jobs.state == "idle", timeout=int(1000 * seconds))
        qtbot.wait(20)
        return time.monotonic() - start

    return wait
