"""The other project whose package has our name."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["name_clash"]


def name_clash() -> str:
    """Say what to do if it is installed too, else nothing."""
    try:
        other = version("napari-unet")
    except PackageNotFoundError:
        return ""
    return (
        f"Another project, napari-unet {other}, is installed and has a package of the same name. "
        f"To use this one, run 'pip uninstall napari-unet' and then "
        f"'pip install --force-reinstall --no-deps napari-live-unet', or, in a copy of the "
        f"repository, 'pip install --force-reinstall --no-deps -e .'."
    )
