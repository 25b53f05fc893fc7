"""Files that only an installed reader of napari can open, through npe2 and without napari."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.engine.formats.source import (
    UNKNOWN,
    PixelSize,
    Source,
    length_unit,
    silent_axes,
)
from napari_unet.errors import InputError, in_short

__all__ = ["open_with_plugin"]

OURS = "napari-live-unet"


def open_with_plugin(path: Path) -> Source | None:
    """Open a file with the reader of an installed plugin; None if none can.

    What a reader loads besides, also napari itself, is its own business.

    Raises
    ------
    InputError
        If the reader fails, or gives no image or several.
    """
    try:
        import npe2
    except RuntimeError:  # it looks for a folder of the user, who has none in some containers
        return None
    manager = npe2.PluginManager.instance()
    manager.discover()
    names = {r.plugin_name for r in manager.iter_compatible_readers([str(path)])} - {OURS}
    failed = None
    # what napari brings reads almost everything somehow, and all of it at once
    for name in sorted(names, key=lambda name: (name == "napari", name)):
        try:
            return _read(path, name)
        except InputError as error:
            failed = failed or error
    if failed is not None:
        raise failed
    return None


def _read(path: Path, plugin: str) -> Source:
    import npe2.io_utils

    try:
        layers = npe2.io_utils.read([str(path)], stack=False, plugin_name=plugin)
    except Exception as error:  # a reader is anybody's program
        raise InputError(
            f"{path} could not be read by the plugin {plugin} ({in_short(error)}); save it as "
            f"OME-TIFF."
        ) from error
    return _only_image(layers, path, plugin)


def _only_image(layers: list[Any], path: Path, plugin: str) -> Source:
    # (data,), (data, how it is shown) or (data, how, kind)
    whole = [(*layer, *({}, "image")[len(layer) - 1 :]) for layer in layers]
    images = [(data, shown) for data, shown, kind in whole if kind in ("image", "labels")]
    if len(images) != 1:
        raise InputError(
            f"{path} was read by the plugin {plugin} as {len(images)} images, and one can be used; "
            f"save that as OME-TIFF."
        )
    data, shown = images[0]
    if shown.get("multiscale") or isinstance(data, list | tuple):
        data = data[0]
    if not hasattr(data, "shape") or not hasattr(data, "dtype"):
        data = np.asarray(data)
    axes = _axes(data.ndim, shown)
    if set(axes[:-2]) == {"Q"} and axes.endswith("YX"):
        axes = silent_axes(data.shape)
    return Source(data, axes, size=_size(axes, shown))


def _axes(n: int, shown: dict[str, Any]) -> str:
    """Return a letter per axis of a layer's data, of which napari knows Y and X by their place."""
    channel = shown.get("channel_axis")
    colour = "S" if shown.get("rgb") else ""
    names = [str(name).upper() for name in shown.get("axis_labels") or ()]
    planes = n - len(colour) - (channel is not None) - 2
    letters = ["Q"] * max(planes, 0)
    if len(names) == planes + 2:
        letters = [name if name in {*"CTZ"} else "Q" for name in names[:planes]]
    axes = [*letters, "Y", "X", *colour]
    if channel is not None:
        axes.insert(channel % n, "C")
    return "".join(axes)[max(-planes, 0) :]


def _size(axes: str, shown: dict[str, Any]) -> PixelSize:
    has_channel_axis = shown.get("channel_axis") is not None
    letters = [axis for axis in axes if axis != "S" and not (axis == "C" and has_channel_axis)]
    scale, units = shown.get("scale"), shown.get("units")
    if scale is None or len(scale) != len(letters):
        return UNKNOWN
    y, x = (float(side) for side in scale[-2:])
    # one for all axes, or one for each
    unit = length_unit(units if isinstance(units, str) else [*(units or [""])][-1])
    if not unit and (y, x) == (1.0, 1.0):
        return UNKNOWN
    z = float(scale[letters.index("Z")]) if "Z" in letters else 0.0
    return PixelSize.of(y, x, unit, z)
