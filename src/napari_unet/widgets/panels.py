"""All panels of the dock, and how they know of each other."""

from __future__ import annotations

from typing import Any, Protocol

from magicgui.widgets import Container
from magicgui.widgets.bases import ValueWidget, Widget

from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.viewer.preferences import preferences
from napari_unet.viewer.session import Session
from napari_unet.widgets.adjust_panel import AdjustPanel
from napari_unet.widgets.batch_panel import BatchPanel
from napari_unet.widgets.code_panel import CodePanel
from napari_unet.widgets.correct_panel import CorrectPanel
from napari_unet.widgets.data_panel import DataPanel
from napari_unet.widgets.fold import Fold
from napari_unet.widgets.link_panel import LinkPanel
from napari_unet.widgets.model_panel import ModelPanel
from napari_unet.widgets.passing import Passing
from napari_unet.widgets.restore_panel import RestorePanel
from napari_unet.widgets.score_panel import ScorePanel
from napari_unet.widgets.segment_panel import SegmentPanel
from napari_unet.widgets.settings_panel import SettingsPanel
from napari_unet.widgets.shortcuts import Shortcut, Shortcuts, dock_shortcuts
from napari_unet.widgets.train_panel import TrainPanel
from napari_unet.widgets.weights_panel import WeightsPanel

__all__ = ["Panels"]

ADJUST = "Threshold, sizes and borders: changes act on the last result at once."
LINK = "For stacks: let every cell keep its number from plane to plane."
BATCH = "Segment all open images, or a folder of images, and see how each one went."
SCORE = "Compare the last result with labels you trust, and see which cells are wrong."
WEIGHTS = "How much each pixel counts in training: most on the thin borders between cells."


class _Follower(Protocol):
    def follow(self) -> None: ...
    def leave(self) -> None: ...


class Panels:
    """The parts of the dock, from top to bottom.

    Parameters
    ----------
    session : Session
        What all of them show and act on.
    """

    def __init__(self, session: Session) -> None:
        self.restore = RestorePanel(session)
        self.settings = SettingsPanel(preferences().train_config())
        self.data = DataPanel(session.viewer)
        self.training = TrainPanel(session, self.data, self.train_config)
        self.segmentation = SegmentPanel(session, self.data, self.predict_config)
        self.adjust = AdjustPanel(session, self.data, self.settings.predict_config)
        self.link = LinkPanel(session, self.data, self.predict_config)
        self.batch = BatchPanel(session, self.data, self.predict_config)
        self.correction = CorrectPanel(session, self.data)
        self.score = ScorePanel(session, self.data)
        self.weights = WeightsPanel(session, self.data, self.settings.train_config)
        self.model = ModelPanel(session, self.data)
        self.code = CodePanel(
            session, self.data, self.training.config, self.predict_config, self.segmentation.scope
        )
        silent = (self.link.fall_silent, self.correction.fall_silent, self.code.fall_silent)
        self.passing = Passing(
            self.data.choice,
            on_choice=(self.training.renew_sentence, self.segmentation.renew_sentence, *silent),
            on_labels=(self.training.renew_sentence,),
        )
        self.shortcuts = Shortcuts(session.viewer, self._keys())
        self.adjust_fold = Fold("Adjust the result", ADJUST, self.adjust.widget)
        self.link_fold = Fold("3D objects and tracks", LINK, self.link.widget)
        self.batch_fold = Fold("Batch", BATCH, self.batch.widget)
        self.score_fold = Fold("Score against a labels layer", SCORE, self.score.widget)
        self.weights_fold = Fold("Weight map", WEIGHTS, self.weights.widget)

    def train_config(self) -> TrainConfig:
        """Return the configuration of training, without its budget."""
        return self.weights.over(self.settings.train_config())

    def predict_config(self) -> PredictConfig:
        """Return the configuration of prediction."""
        return self.segmentation.over(self.adjust.over(self.settings.predict_config()))

    def set_configs(self, training: TrainConfig, prediction: PredictConfig) -> None:
        """Show configurations; the budget of training has a place of its own."""
        self.settings.set_configs(training, prediction)
        self.weights.set_config(training)
        self.adjust.set_config(prediction)
        self.segmentation.set_config(prediction)

    def widgets(self) -> list[Container[Widget]]:
        """Return what is shown, from top to bottom."""
        above = (self.restore, self.data, self.training, self.segmentation, self.adjust_fold)
        amid = (self.link_fold, self.correction, self.score_fold, self.batch_fold)
        below = (self.model, self.weights_fold, self.settings, self.shortcuts, self.code)
        return [panel.widget for panel in (*above, *amid, *below)]

    def boxes(self) -> list[ValueWidget[Any]]:
        """Return in what something is chosen that is no setting, in the order of dependence."""
        panels = (self.data, self.segmentation, self.link, self.score, self.batch)
        return [box for panel in panels for box in panel.boxes]

    def folds(self) -> list[Fold]:
        """Return what can be folded away."""
        above = (self.adjust_fold, self.link_fold, self.score_fold, self.batch_fold)
        return [*above, self.weights_fold, self.settings.fold, self.shortcuts.fold]

    def renew(self) -> None:
        """Show the present state."""
        above = (self.training, self.segmentation, self.adjust, self.link)
        for panel in (*above, self.correction, self.batch, self.model):
            panel.renew()

    def follow(self) -> None:
        """Follow the viewer."""
        for panel in self._followers():
            panel.follow()

    def leave(self) -> None:
        """Follow it no more: a dock that is closed must not act."""
        self.training.set_live(False)
        for panel in self._followers():
            panel.leave()

    def _followers(self) -> tuple[_Follower, ...]:
        above = (self.data, self.adjust, self.link, self.correction, self.score)
        return (*above, self.weights, self.shortcuts, self.passing)

    def _keys(self) -> list[Shortcut]:
        return dock_shortcuts(
            train=self.training.train,
            live=self.training.toggle_live,
            stop=self.training.job.stop,
            segment=lambda: self.segmentation.segment(self.data.image, "current plane"),
            accept=self.correction.accept_at_cursor,
            accept_in_view=self.correction.accept_in_view,
            verify=self.correction.verify_at_cursor,
            fly=self.correction.next_uncertain,
        )
