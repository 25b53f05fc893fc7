"""Score the segmentation against a labels layer that is the truth."""

from __future__ import annotations

from typing import Any

from napari_unet.core.comparison import ERROR_COLOURS
from napari_unet.errors import InputError
from napari_unet.viewer.scores.score import CellScore, Row, Score
from napari_unet.viewer.scores.scoring import Scoring
from napari_unet.viewer.session import Session
from napari_unet.widgets.data_panel import DataPanel
from napari_unet.widgets.parts import button, form, row, sentence, stack
from napari_unet.widgets.save_dialog import ask_where_to_save
from napari_unet.widgets.score_choice import ScoreChoice
from napari_unet.widgets.score_table import ScoreTable
from napari_unet.widgets.scroll import scroll_to
from napari_unet.widgets.telling import telling_errors

__all__ = ["ScorePanel"]

NAMES = dict(zip(ERROR_COLOURS, ("orange", "blue", "yellow", "green"), strict=True))
SQUARES = {
    error: f"{NAMES[error]} <span style='color: {colour}'>&#9632;</span>"
    for error, colour in ERROR_COLOURS.items()
}
LEGEND = "Wrong cells: " + ", ".join(f"{error} {square}" for error, square in SQUARES.items())
OF_CLASSES = f"Wrong pixels: {SQUARES['missed']}"
SCORE = "Compare the segmentation with the truth, cell by cell."


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
        self._data = data
        self.scoring = Scoring(session)
        self._shown: Score[Any] | None = None
        self._choice = choice = ScoreChoice(session, data)
        self.boxes = choice.truth, choice.scope
        self._score = button("Score", SCORE)
        self._said, self._legend = sentence(), sentence()
        self._table = ScoreTable(self.fly_to)
        self._save = button(
            "Save table ...",
            "Save the outcome and position of every true and every predicted cell as CSV.",
        )
        start = row(self._score, choice.scope, stretch=(1, 1))
        self.widget = stack(form(choice.truth), start, self._said, self._legend, self._save)
        layout = self.widget.native.layout()
        layout.insertWidget(layout.count() - 1, self._table)
        self._score.changed.connect(self.score)
        self._save.changed.connect(self._ask_and_save)
        self.renew()

    def follow(self) -> None:
        """Follow the layers, and what is scored."""
        self.scoring.follow()
        self.scoring.told.connect(self.renew)
        self._choice.follow()

    def leave(self) -> None:
        """Follow them no more."""
        self._choice.leave()
        self.scoring.told.disconnect(self.renew)
        self.scoring.leave()
        self.renew()

    def score(self) -> None:
        """Score, or break off if that goes on."""
        with telling_errors(self._said):
            if self.scoring.running:
                self.scoring.stop()
                return
            image, truth = self._data.image, self._choice.truth.value
            if truth is None:
                raise InputError(
                    "No truth is chosen: open or paint labels with the size of the image, and "
                    "choose them beside Truth."
                )
            self.scoring.begin(image, truth, self._choice.scope.value)

    def fly_to(self, row: Row) -> None:
        """Show an object in the middle of the view."""
        with telling_errors(self._said):
            self.scoring.fly_to(row)

    def save(self, path: str) -> None:
        """Save the table as CSV."""
        with telling_errors(self._said):
            if isinstance(self.scoring.score, CellScore):
                self.scoring.score.save(path if path.endswith(".csv") else path + ".csv")

    def renew(self) -> None:
        """Show what was scored last, and what can be clicked."""
        scoring, score = self.scoring, self.scoring.score
        self._score.text = "Break off" if scoring.running else "Score"
        self._said.value, self._said.visible = scoring.sentence, bool(scoring.sentence)
        if score is not self._shown:
            self._table.show_rows([] if score is None else score.rows())
            scroll_to(self.widget.native)
        self._shown = score
        of_cells = isinstance(score, CellScore)
        self._legend.value = LEGEND if of_cells else OF_CLASSES
        self._legend.visible, self._save.visible = score is not None, of_cells

    def _ask_and_save(self) -> None:
        path = ask_where_to_save(self.widget.native, "Save table", "score.csv", "Tables (*.csv)")
        if path:
            self.save(path)
