"""Score the segmentation against a labels layer that is the truth."""

from __future__ import annotations

from magicgui.widgets import CheckBox, ComboBox
from napari.layers import Labels
from qtpy.QtWidgets import QFileDialog

from napari_unet.core.comparison import ERROR_COLOURS
from napari_unet.errors import InputError
from napari_unet.viewer.scores.scorable import possible_truths
from napari_unet.viewer.scores.score import Row, Score
from napari_unet.viewer.scores.scoring import Scoring
from napari_unet.viewer.session import Session
from napari_unet.widgets.data_panel import DataPanel
from napari_unet.widgets.parts import button, form, narrow, row, sentence, stack
from napari_unet.widgets.score_table import ScoreTable
from napari_unet.widgets.telling import telling_errors

__all__ = ["ScorePanel"]

NAMES = dict(zip(ERROR_COLOURS, ("orange", "blue", "yellow", "green"), strict=True))
LEGEND = "Wrong cells: " + ", ".join(
    f"{error} {NAMES[error]} <span style='color: {colour}'>&#9632;</span>"
    for error, colour in ERROR_COLOURS.items()
)
SCORE = "Compare the segmentation of the plane in view with the truth, cell by cell."


class ScorePanel:
    """Says how good a segmentation is, shows what is wrong, and leads there.

    Parameters
    ----------
    session : Session
        Whose segmentations are scored.
    data : DataPanel
        Chooses the image.
    """

    def __init__(self, session: Session, data: DataPanel) -> None:
        self._session, self._data = session, data
        self.scoring = Scoring(session)
        self._shown: Score | None = None
        self._truth = narrow(ComboBox(label="Truth", nullable=True, choices=self._truths))
        self._truth.tooltip = (
            "A labels layer that is right. Only layers with the size of the image are offered; "
            "their meaning counts, so what scribbles leave unlabelled is left out. The model "
            "should not have learned from it."
        )
        self._score = button("Score", SCORE)
        self._all = CheckBox(text="All planes")
        self._all.tooltip = "Score every plane that is segmented and has a cell in the truth."
        self._said, self._legend = sentence(), sentence()
        self._legend.value = LEGEND
        self._table = ScoreTable(self.fly_to)
        self._save = button(
            "Save table ...",
            "Save what became of every true and every predicted cell, with its place, as CSV.",
        )
        start = row(self._score, self._all, stretch=(1, 1))
        self.widget = stack(form(self._truth), start, self._said, self._legend, self._save)
        layout = self.widget.native.layout()
        layout.insertWidget(layout.count() - 1, self._table)
        self._truth.changed.connect(self._on_truth)
        self._score.changed.connect(self.score)
        self._save.changed.connect(self._ask_and_save)
        self.renew()

    def follow(self) -> None:
        """Follow the layers, and what is scored."""
        self.scoring.follow()
        self.scoring.told.connect(self.renew)
        self._data.choice.changed.connect(self._on_layers)
        self._on_layers()

    def leave(self) -> None:
        """Follow them no more."""
        self._data.choice.changed.disconnect(self._on_layers)
        self.scoring.told.disconnect(self.renew)
        self.scoring.leave()
        self.renew()

    def score(self) -> None:
        """Score, or break off if that goes on."""
        with telling_errors(self._said):
            if self.scoring.running:
                self.scoring.stop()
                return
            image, truth = self._data.image, self._truth.value
            if truth is None:
                raise InputError(
                    "No truth is chosen: open or paint labels with the size of the image, and "
                    "choose them beside Truth."
                )
            self.scoring.begin(image, truth, all_planes=self._all.value and self._is_stack())

    def fly_to(self, row: Row) -> None:
        """Show an object in the middle of the view."""
        with telling_errors(self._said):
            self.scoring.fly_to(row)

    def save(self, path: str) -> None:
        """Save the table as CSV."""
        with telling_errors(self._said):
            if self.scoring.score is not None:
                self.scoring.score.save(path if path.endswith(".csv") else path + ".csv")

    def renew(self) -> None:
        """Show what was scored last, and what can be clicked."""
        scoring, score = self.scoring, self.scoring.score
        self._score.text = "Break off" if scoring.running else "Score"
        self._said.value, self._said.visible = scoring.sentence, bool(scoring.sentence)
        if score is not self._shown:
            self._table.show_rows([] if score is None else score.rows())
        self._shown = score
        self._legend.visible = self._save.visible = score is not None

    def _truths(self, _: object) -> list[tuple[str, Labels]]:
        layers = possible_truths(self._session.viewer, self._data.choice.image)
        return [(layer.name, layer) for layer in layers]

    def _on_layers(self) -> None:
        """Offer the layers there are; choose the only one that nobody paints on."""
        before = self._truth.value
        self._truth.reset_choices()
        there = [layer for _, layer in self._truths(None)]
        if before in there:  # a layer that is renamed is for a moment not chosen
            self._truth.value = before
        elif self._truth.value is None:
            others = [layer for layer in there if layer is not self._data.choice.labels]
            self._truth.value = others[0] if len(others) == 1 else None
        self._on_truth()

    def _on_truth(self) -> None:
        self._all.visible = self._is_stack()

    def _is_stack(self) -> bool:
        truth: Labels | None = self._truth.value
        return truth is not None and truth.ndim > 2

    def _ask_and_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self.widget.native, "Save table", "score.csv", "Tables (*.csv)"
        )
        if path:
            self.save(path)
