"""Live U-Net: paint a few cells, train a U-Net on them, and watch it segment the rest.

Public names load on first use, so importing this package, asking for ``--help`` or listing the
plugin in napari never waits for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from napari_unet.errors import DeviceError, InputError, JobError, ModelFileError, UNetError

if TYPE_CHECKING:
    from napari_unet import sample_data
    from napari_unet.core import metrics
    from napari_unet.core.annotation import Annotation
    from napari_unet.core.augment import elastic_deform
    from napari_unet.core.boundary import boundary_weight_map
    from napari_unet.core.cellclasses import object_classes
    from napari_unet.core.config import PredictConfig, TrainConfig
    from napari_unet.core.linkstack import link_planes
    from napari_unet.core.unet import UNet
    from napari_unet.engine.batch import segment_files
    from napari_unet.engine.exporting.package import export_model
    from napari_unet.engine.findmagnification import find_magnification
    from napari_unet.engine.inference import predict, probabilities, segment
    from napari_unet.engine.items.item import BatchOptions
    from napari_unet.engine.segmenter import Segmenter
    from napari_unet.engine.training import train
    from napari_unet.engine.volume import segment_volume

__version__ = "0.1.0"

__all__ = [
    "Annotation",
    "BatchOptions",
    "DeviceError",
    "InputError",
    "JobError",
    "ModelFileError",
    "PredictConfig",
    "Segmenter",
    "TrainConfig",
    "UNet",
    "UNetError",
    "boundary_weight_map",
    "elastic_deform",
    "export_model",
    "find_magnification",
    "link_planes",
    "metrics",
    "object_classes",
    "predict",
    "probabilities",
    "sample_data",
    "segment",
    "segment_files",
    "segment_volume",
    "train",
]

_LAZY = {
    "Annotation": "napari_unet.core.annotation",
    "BatchOptions": "napari_unet.engine.items.item",
    "PredictConfig": "napari_unet.core.config",
    "Segmenter": "napari_unet.engine.segmenter",
    "TrainConfig": "napari_unet.core.config",
    "UNet": "napari_unet.core.unet",
    "boundary_weight_map": "napari_unet.core.boundary",
    "elastic_deform": "napari_unet.core.augment",
    "export_model": "napari_unet.engine.exporting.package",
    "find_magnification": "napari_unet.engine.findmagnification",
    "link_planes": "napari_unet.core.linkstack",
    "object_classes": "napari_unet.core.cellclasses",
    "predict": "napari_unet.engine.inference",
    "probabilities": "napari_unet.engine.inference",
    "segment": "napari_unet.engine.inference",
    "segment_files": "napari_unet.engine.batch",
    "segment_volume": "napari_unet.engine.volume",
    "train": "napari_unet.engine.training",
}
_LAZY_MODULES = {"metrics": "napari_unet.core.metrics", "sample_data": "napari_unet.sample_data"}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for (PEP 562)."""
    if name in _LAZY_MODULES:
        value: object = import_module(_LAZY_MODULES[name])
    elif name in _LAZY:
        value = getattr(import_module(_LAZY[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
