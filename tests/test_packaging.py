"""What is published is complete, agrees with itself, and says how to run and test it."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import napari_unet
from napari_unet import errors

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def call(*arguments: str) -> str:
    """Run a Python module from the top of the checkout and return what it printed."""
    result = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def commands_after(comment: str, text: str) -> list[str]:
    """Find the contents of the fenced blocks that stand right after an HTML comment."""
    return re.findall(rf"<!-- {comment} -->\n+```\w*\n(.*?)```", text, flags=re.DOTALL)


def test_napari_accepts_the_manifest_and_can_import_all_it_names() -> None:
    """``npe2 validate --imports`` finds nothing wrong with the installed plugin."""
    call("npe2", "validate", "napari-live-unet", "--imports")


def test_the_plugin_and_the_command_are_registered() -> None:
    """The entry points carry the distribution's name and the command's."""
    (plugin,) = entry_points(group="napari.manifest", name="napari-live-unet")
    (command,) = entry_points(group="console_scripts", name="napari-unet")

    assert plugin.value == "napari_unet:napari.yaml"
    assert command.value == "napari_unet.cli:main"
    assert callable(command.load())


def test_one_version_everywhere() -> None:
    """Package, distribution, citation and the newest changelog entry name the same version."""
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(\d.*?)\]", changelog, flags=re.MULTILINE)

    assert version("napari-live-unet") == napari_unet.__version__
    assert f"\nversion: {napari_unet.__version__}\n" in citation
    assert newest is not None
    assert newest[1] == napari_unet.__version__


def test_the_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    """Every source file, the manifest, the typing marker and the licence are in; tests are not."""
    call("hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    source = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*.py")}
    info = f"napari_live_unet-{napari_unet.__version__}.dist-info"

    assert source | {"napari_unet/napari.yaml", "napari_unet/py.typed"} <= names
    assert f"{info}/licenses/LICENSE" in names
    assert {name.split("/")[0] for name in names} == {"napari_unet", info}


def test_only_lower_bounds_and_no_qt_binding_are_required() -> None:
    """A base requirement pins nothing from above, and the user chooses the Qt binding."""
    required = [Requirement(line) for line in PROJECT["project"]["dependencies"]]

    assert not {"PyQt5", "PyQt6", "PySide2", "PySide6"} & {item.name for item in required}
    assert {spec.operator for item in required for spec in item.specifier} == {">="}


def test_the_lowest_versions_tested_are_the_lowest_promised() -> None:
    """The `min` environment of tox.ini installs exactly the lower bounds of pyproject.toml."""
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    tested = set(tox["testenv:min"]["deps"].split())

    assert tested == {line.replace(">=", "==") for line in PROJECT["project"]["dependencies"]}


@pytest.mark.parametrize("name", napari_unet.__all__)
def test_every_public_name_can_be_used(name: str) -> None:
    """A name in ``__all__`` imports, and completion offers it."""
    assert getattr(napari_unet, name) is not None
    assert name in dir(napari_unet)


def test_a_name_that_does_not_exist_is_an_ordinary_error() -> None:
    """Lazy loading does not change what a wrong name does."""
    with pytest.raises(AttributeError, match="no attribute 'Unet'"):
        _ = napari_unet.Unet


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name[0].isupper()])
def test_no_error_of_ours_is_a_runtime_error(name: str) -> None:
    """Napari's stock worker drops RuntimeErrors, so ours must be something else."""
    kind = getattr(errors, name)

    assert issubclass(kind, errors.UNetError)
    assert not issubclass(kind, RuntimeError)
    assert name in str(errors.__doc__)


@pytest.mark.parametrize("comment", ["run", "test"])
def test_the_readme_gives_each_command_as_one_line(comment: str) -> None:
    """Right after its comment stands one fenced block with one line that can be pasted."""
    (block,) = commands_after(comment, (ROOT / "README.md").read_text(encoding="utf-8"))
    command = block.rstrip("\n")

    assert command
    assert "\n" not in command
    assert command.startswith("python3 -m venv .venv && ")
    assert "-c tests/constraints.txt" in command
