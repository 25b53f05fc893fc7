"""The house has rooms, and imports cross them in one direction only.

::

    errors <- core <- engine <- viewer <- widgets        (<- : is imported by)
                         ^----- cli
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import napari_unet

PACKAGE = Path(napari_unet.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

QT = {"qtpy", "superqt", "pyqtgraph", "vispy", "PyQt5", "PyQt6", "PySide2", "PySide6"}
GUI = {"napari", "magicgui", *QT}
FILES = {"io", "os", "pathlib", "safetensors", "shutil", "tempfile", "tifffile", "zarr"}
THREADS = {"asyncio", "concurrent", "dask", "distributed", "multiprocessing", "queue"}
THREADS |= {"subprocess", "threading"}

ROOMS_ALLOWED = {
    "errors": set(),
    "sample_data": {"errors"},
    "core": {"errors"},
    "engine": {"errors", "core"},
    "viewer": {"errors", "core", "engine"},
    "widgets": {"errors", "core", "engine", "viewer", "sample_data"},
    "cli": {"errors", "core", "engine", "sample_data"},
    "demo": {"errors", "core", "engine", "viewer", "widgets", "sample_data", "cli"},
}
"""Which other rooms each room may import."""

GENERATORS = {f"napari_unet.engine.{name}" for name in ("training", "inference", "files", "batch")}
FORBIDDEN = {
    "errors": {"torch", "numpy", *GUI},
    "sample_data": {"torch", "tqdm", "logging", *GUI, *FILES, *THREADS},
    "core": {"tqdm", "logging", *GUI, *FILES, *THREADS},
    "engine": GUI,
    "viewer": {"torch", "magicgui"},
    "widgets": {"torch", "scipy", "tifffile", *GENERATORS},
    "cli": GUI,
    "demo": set(),
}
"""What each room must not import, from outside the package or, in `widgets`, from inside it."""


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, and where it stands."""

    module: str
    line: int


def room_of(path: Path) -> str:
    """Name the room of a source file; the command that opens the viewer is one for itself."""
    inner = path.relative_to(PACKAGE)
    return "demo" if inner == Path("cli/demo.py") else inner.parts[0].removesuffix(".py")


def imports_in(tree: ast.AST) -> Iterator[Import]:
    """Find every import below a node, also those inside functions and behind TYPE_CHECKING."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (Import(origin(module, alias.name), node.lineno) for alias in node.names)


def origin(module: str, name: str) -> str:
    """Name the module that `from module import name` reaches, also through the front door."""
    if module == "napari_unet":
        return napari_unet._LAZY.get(name) or napari_unet._LAZY_MODULES.get(
            name, f"{module}.{name}"
        )
    inner = PACKAGE.joinpath(*module.split(".")[1:], f"{name}.py")
    submodule = module.startswith("napari_unet.") and inner.exists()
    return f"{module}.{name}" if submodule else module


def within(module: str, names: set[str]) -> bool:
    """Whether a dotted module is one of the names, or lies below one."""
    return any(module == name or module.startswith(f"{name}.") for name in names)


def offences(room: str, source: str) -> list[str]:
    """List the imports of one file's text that the table does not allow in its room."""
    found = []
    for item in imports_in(ast.parse(source)):
        parts = item.module.split(".")
        enters = parts[1] if parts[0] == "napari_unet" and len(parts) > 1 else room
        barred = enters in ROOMS_ALLOWED and enters not in ROOMS_ALLOWED[room] | {room}
        if barred or within(item.module, FORBIDDEN[room]) or item.module.startswith("."):
            found.append(f"line {item.line} imports {item.module}")
    return found


def modules(room: str) -> list[str]:
    """List the dotted names of the modules in a room."""
    paths = [path for path in SOURCES if room_of(path) == room and path.stem != "__init__"]
    return [
        ".".join(("napari_unet", *path.relative_to(PACKAGE).with_suffix("").parts))
        for path in paths
    ]


def loaded_by(code: str, unwanted: set[str]) -> str:
    """Run code in a fresh Python and name which of the unwanted packages it loaded."""
    report = f"import sys; print(*sorted({unwanted!r} & sys.modules.keys()))"
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()[-1]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_import_goes_in_the_allowed_direction(path: Path) -> None:
    """No file imports a room above its own, a package barred from its room, or relatively."""
    if path == PACKAGE / "__init__.py":
        return
    assert room_of(path) in ROOMS_ALLOWED, "every file lies in a room, or is one"

    assert offences(room_of(path), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("room", ["core", "engine", "viewer", "widgets", "cli"])
def test_every_room_is_furnished(room: str) -> None:
    """Each room of the table exists, so that the walk above is not of an empty house."""
    assert modules(room)


@pytest.mark.parametrize("room", ["core", "engine", "viewer"])
def test_a_room_with_many_files_says_where_they_belong(room: str) -> None:
    """Its docstring maps all that lies in it, and nothing else, so that a newcomer can guess."""
    docstring = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text("utf-8")))
    assert docstring is not None
    rows = docstring.partition("::\n\n")[2].splitlines()
    mapped = [name for row in rows for name in row.strip().rpartition("  ")[2].split()]
    files = {path.stem for path in (PACKAGE / room).glob("[!_]*.py")}
    folders = {f"{path.parent.name}/" for path in (PACKAGE / room).glob("*/__init__.py")}

    assert sorted(mapped) == sorted(files | folders)


def test_the_front_door_imports_nothing_but_the_errors() -> None:
    """At run time the package's ``__init__`` loads only the errors and the standard library."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    at_run_time = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {item.module for node in at_run_time for item in imports_in(ast.Module([node], []))}

    assert names <= {"__future__", "importlib", "typing", "napari_unet.errors"}


def test_core_opens_no_file() -> None:
    """The arrays-only room calls no `open`, `print` or `input`."""
    calls = [
        f"{path.name}:{node.lineno} {node.func.id}"
        for path in SOURCES
        if room_of(path) == "core"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id in {"open", "print", "input"}
    ]

    assert calls == []


def test_a_panel_fits_in_150_lines() -> None:
    """A widget file longer than 150 lines is more than one panel."""
    lengths = {
        path.name: len(path.read_text(encoding="utf-8").splitlines())
        for path in SOURCES
        if room_of(path) == "widgets"
    }

    assert {name: length for name, length in lengths.items() if length > 150} == {}


@pytest.mark.parametrize("module", ["napari_unet", "napari_unet.cli", "napari_unet.sample_data"])
def test_the_package_and_its_command_load_neither_torch_nor_a_gui(module: str) -> None:
    """``--help`` and napari's plugin list never wait for torch, napari or Qt."""
    assert loaded_by(f"import {module}; dir({module})", {"torch", *GUI}) == ""


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["segment", "--help"]])
def test_asking_for_help_loads_neither_torch_nor_a_gui(arguments: list[str]) -> None:
    """The help of the command and of its parts appears without waiting for torch."""
    code = f"""
import contextlib
from napari_unet.cli import main
with contextlib.suppress(SystemExit):
    main({arguments})
"""

    assert loaded_by(code, {"torch", *GUI}) == ""


def test_the_panels_load_no_torch() -> None:
    """Opening the dock does not load torch into napari's process."""
    names = [*modules("viewer"), *modules("widgets")]

    assert loaded_by("\n".join(f"import {name}" for name in names), {"torch"}) == ""


THROUGH_THE_HOST = """
from napari_unet.core.annotation import Annotation
from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.engine.process import tasks
from napari_unet.engine.host import Host
from napari_unet.engine.process.shared_memory import SharedArray
from napari_unet.sample_data import painted_scribbles, touching_cells

image, truth = touching_cells((128, 128))
painted = Annotation(image, painted_scribbles(truth, n_cells=3), "scribbles")
config = TrainConfig(seconds=0, steps=2, base_channels=4, depth=2, device="cpu")
with Host(warm_up=()) as host, SharedArray.create(image.shape, "u2") as labels:
    for event in host.run(tasks.train, [painted], config, None):
        pass
    for _ in host.run(
        tasks.segment_plane, event.segmenter, image[None], labels, None, (), PredictConfig(), 0
    ):
        pass
"""


def test_training_in_the_compute_process_loads_no_torch_in_the_program() -> None:
    """Not even with what its events carry: napari's process stays as it is."""
    assert loaded_by(THROUGH_THE_HOST, {"torch"}) == ""


HEADLESS = """
from napari_unet import Annotation, PredictConfig, TrainConfig, sample_data, segment, train
import napari_unet.engine.batch, napari_unet.engine.cluster

image, truth = sample_data.touching_cells((128, 128))
scribbles = sample_data.painted_scribbles(truth, n_cells=3)
config = TrainConfig(seconds=0, steps=2, base_channels=4, depth=2, device="cpu")
for event in train([Annotation(image, scribbles, meaning="scribbles")], config):
    pass
labels = segment(event.segmenter, image, PredictConfig(device="cpu"))
assert labels.shape == image.shape
"""


def test_training_and_segmenting_need_neither_a_gui_nor_a_compiler() -> None:
    """Nor Dask. Torch's compiler, and the algebra that it reasons with, compile nothing here, and
    take a second of every new process.
    """
    compiler = {"torch._dynamo", "torch._inductor", "sympy"}
    assert loaded_by(HEADLESS, {"distributed", "dask_jobqueue", *compiler, *GUI}) == ""


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("core", "import threading"),
        ("core", "from napari_unet.engine import events"),
        ("core", "from napari_unet import Segmenter"),
        ("core", "def f():\n    import tifffile"),
        ("engine", "from napari_unet.viewer.jobs import Job"),
        ("engine", "from qtpy.QtCore import QObject"),
        ("viewer", "if TYPE_CHECKING:\n    import torch"),
        ("viewer", "from napari_unet.widgets import dock"),
        ("widgets", "from napari_unet.engine.training import train"),
        ("widgets", "from napari_unet.engine import inference"),
        ("widgets", "from napari_unet import train"),
        ("cli", "import napari"),
        ("cli", "from ..core import unet"),
        ("errors", "from napari_unet.core import tiles"),
    ],
)
def test_the_walk_notices_a_forbidden_import(room: str, source: str) -> None:
    """Each kind of forbidden import is found, however it is written."""
    assert len(offences(room, source)) == 1


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("core", "import torch\nfrom napari_unet.errors import InputError"),
        ("engine", "from napari_unet.core import tiles\nimport tifffile"),
        ("widgets", "from napari_unet.engine.events import StepDone"),
        ("widgets", "from napari_unet import __version__"),
        ("demo", "def start():\n    import napari"),
    ],
)
def test_the_walk_lets_an_allowed_import_pass(room: str, source: str) -> None:
    """The table does not forbid more than it says."""
    assert offences(room, source) == []
