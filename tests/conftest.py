"""What every test relies on: a display or an honest skip, real data where it lies, no leaks."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]
GUI_FIXTURES = {"make_napari_viewer", "make_napari_viewer_proxy", "qapp", "qtbot"}

# Read when napari's settings load: no test sees, or changes, the settings of the person running it.
os.environ["NAPARI_CONFIG"] = ""
# A shell that starts the tests in the background lets them, and what they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Read when torch loads, and by the processes tests start; more threads than cores crawl.
os.environ.setdefault("OMP_NUM_THREADS", str(min(2, os.cpu_count() or 1)))
if "PYTEST_XDIST_WORKER" in os.environ:  # several processes test side by side: one core for each
    os.environ["OMP_NUM_THREADS"] = "1"

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


@cache
def qt_missing() -> str:
    """Say why no Qt binding can be loaded, or nothing when one can."""
    reasons = []
    for binding in ("PyQt6", "PySide6"):
        try:
            importlib.import_module(f"{binding}.QtWidgets")
        except ImportError as error:
            reasons.append(str(error))
        else:
            return ""
    return "; ".join(reasons)


@cache
def gui_missing() -> str:
    """Say why Qt cannot open a window here, or nothing when it can."""
    if qt_missing():
        return f"no Qt binding can be loaded: {qt_missing()}"
    # In a process of its own, because Qt aborts the process where it finds no display.
    opens_window = "from qtpy.QtWidgets import QApplication; QApplication([])"
    probe = subprocess.run(
        [sys.executable, "-c", opens_window],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if probe.returncode == 0:
        return ""
    complaint = next((line for line in probe.stderr.splitlines() if line.strip()), "no message")
    return f"Qt cannot open a window (on Linux, install xvfb): {complaint}"


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Run the tests that need no GUI where Qt is missing; pytest-qt would refuse to run any."""
    if qt_missing() and pluginmanager.has_plugin("pytest-qt"):
        pluginmanager.unregister(name="pytest-qt")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip GUI tests where no window can open; fail them where one was promised."""
    if GUI_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())) or not gui_missing():
        return
    if os.environ.get("NAPARI_UNET_REQUIRE_GUI") == "1":
        pytest.fail(gui_missing(), pytrace=False)
    pytest.skip(gui_missing())


@pytest.fixture(autouse=True)
def saved_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any) -> None:
    """Let no test offer back, or leave behind, the work of the person running it."""
    monkeypatch.setenv("NAPARI_UNET_AUTOSAVE", str(tmp_path_factory.mktemp("autosave")))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real microscopy images with labels; see its README for what lies there."""
    given = os.environ.get("NAPARI_UNET_DATA")
    folder = Path(given) if given else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no microscopy data at {folder}; set NAPARI_UNET_DATA to the folder")
    return folder


def leftover_threads(before: set[threading.Thread]) -> list[str]:
    """Name the threads that would keep Python from exiting."""
    # dask keeps one pool for the life of the process.
    pool = getattr(sys.modules.get("dask.threaded"), "default_pool", None)
    kept: set[Any] = before | set(getattr(pool, "_threads", ()))
    return [
        thread.name for thread in threading.enumerate() if thread not in kept and not thread.daemon
    ]


def leftover_children(before: set[psutil.Process], lasting: list[Any]) -> list[psutil.Process]:
    """List the processes started since, but for lasting ones and the one Python itself keeps."""
    kept = [host._child._process.pid for host in lasting if host._child is not None]
    children = []
    for child in psutil.Process().children(recursive=True):
        try:
            ours = "multiprocessing.resource_tracker" not in " ".join(child.cmdline())
            new = child not in before and child.pid not in kept
            if ours and new and child.status() != psutil.STATUS_ZOMBIE:
                children.append(child)
        except psutil.Error:
            continue
    return children


def open_windows() -> set[Any]:
    """Collect the windows, menus and parentless widgets that exist now."""
    if "qtpy.QtWidgets" not in sys.modules:
        return set()
    from qtpy.QtWidgets import QApplication

    # vispy keeps its canvas, and Qt one label for tool tips.
    kept = ("CanvasBackendDesktop", "QTipLabel")
    tops = [widget for widget in QApplication.topLevelWidgets() if widget.parent() is None]
    return {widget for widget in tops if type(widget).__name__ not in kept}


def leftover_windows(before: set[Any]) -> list[str]:
    """Name the windows that survive a garbage collection; pyqtgraph's menus need one to go."""
    if open_windows() <= before:
        return []
    from qtpy.QtCore import QCoreApplication, QEvent

    for _ in range(4):  # what one collection lets go of may be all that held the next
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        if open_windows() <= before:
            return []
        gc.collect()
    return [f"{type(widget).__name__} {widget.objectName()}" for widget in open_windows() - before]


@pytest.fixture(scope="session")
def lasting() -> list[Any]:
    """The hosts whose process serves many tests, also where one test had it replaced."""
    return []


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest, lasting: list[Any]) -> Iterator[None]:
    """Fail a test that leaves a thread, a process or a window behind."""
    if not GUI_FIXTURES.isdisjoint(request.fixturenames):
        # napari collects garbage with every viewer: what outlived the last one need not be walked
        # through again.
        gc.collect()
        gc.freeze()
    threads = set(threading.enumerate())
    children = set(psutil.Process().children(recursive=True))
    windows = open_windows()
    yield
    deadline = time.monotonic() + 5
    while True:
        names, left = leftover_threads(threads), leftover_children(children, lasting)
        if not (names or left) or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    for child in left:
        child.kill()
    # The traceback of a failed test keeps its widgets alive.
    passed = getattr(getattr(request.node, "rep_call", None), "passed", False)
    shown = leftover_windows(windows) if passed else []
    if names or left or shown:
        pytest.fail(f"left behind: threads {names}, processes {left}, windows {shown}")
