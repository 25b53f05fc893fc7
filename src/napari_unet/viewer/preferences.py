"""What the user set for good on our page of napari's Preferences."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from napari.settings import get_plugin_settings

from napari_unet.core.config import TrainConfig
from napari_unet.errors import InputError

__all__ = ["Preferences", "preferences"]

PLUGIN, PAGE = "napari-live-unet", "dock"
"""Where napari.yaml declares them, in `contributions.configurations`."""

SHORTEST, LONGEST = 0.5, 600.0
"""Limits of `Preferences.live_seconds`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """What a new dock starts with, and what it does by itself. Frozen and validated.

    Attributes
    ----------
    seconds : float
        Budget of a training, 0 for no limit.
    base_channels : int
        Channels of the first level of new models.
    device : str
        "auto", "cpu", "cuda", "cuda:1", "mps".
    live_seconds : float
        Seconds between two live previews.
    autosave : bool
        Whether work is saved now and then, to be offered after a crash.
    """

    seconds: float = 60.0
    base_channels: int = 16
    device: str = "auto"
    live_seconds: float = 3.0
    autosave: bool = True

    def __post_init__(self) -> None:
        self.train_config()
        # written so that NaN fails too
        if not SHORTEST <= self.live_seconds <= LONGEST:
            raise InputError(
                f"The seconds between live previews are {self.live_seconds}; give a value from "
                f"{SHORTEST:g} to {LONGEST:g}."
            )

    def train_config(self) -> TrainConfig:
        """Return the configuration of training that a new dock shows."""
        return TrainConfig(
            seconds=self.seconds, base_channels=self.base_channels, device=self.device
        )


def preferences() -> Preferences:
    """Return what is set now; the defaults where napari does not know our page.

    A bad value, which only a file changed by hand can hold, never gets here: napari replaces it by
    the default and logs a warning.
    """
    page = _page()
    if page is None:
        return Preferences()
    names = [field.name for field in dataclasses.fields(Preferences)]
    return Preferences(**{name: getattr(page, name) for name in names})


def _page() -> Any:
    """Return napari's model of our page; None while the plugin is disabled or not installed."""
    return getattr(get_plugin_settings().get(PLUGIN), PAGE, None)
