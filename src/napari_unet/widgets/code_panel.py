"""Copy what the dock would do now, as Python or as a command line."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QApplication

from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.viewer.learning.sources import Source
from napari_unet.viewer.scripts.as_code import as_command_line, as_python
from napari_unet.viewer.scripts.as_files import Work
from napari_unet.viewer.segmenting.segmenting_job import Scope
from napari_unet.viewer.session import Session
from napari_unet.widgets.data_panel import DataPanel
from napari_unet.widgets.parts import button, row, sentence, stack
from napari_unet.widgets.telling import telling_errors

__all__ = ["CodePanel"]


class CodePanel:
    """Puts a script, or commands, into the clipboard.

    Parameters
    ----------
    session : Session
        Whose model training would go on from.
    data : DataPanel
        What would be trained on and segmented.
    train_config, predict_config, scope : callable
        Return the settings, and how much would be segmented.
    """

    def __init__(
        self,
        session: Session,
        data: DataPanel,
        train_config: Callable[[], TrainConfig],
        predict_config: Callable[[], PredictConfig],
        scope: Callable[[], Scope],
    ) -> None:
        self._session, self._data = session, data
        self._train_config, self._predict_config = train_config, predict_config
        self._scope = scope
        self._python = button(
            "Copy as Python",
            "Copy a script that trains on these labels with these settings and then segments, "
            "for a notebook or to repeat it later. It reads files, so it says what to save "
            "first.",
        )
        self._commands = button(
            "Copy as command line",
            "Copy the same as terminal commands, for a server or many images. They read files, "
            "so they say what to save first.",
        )
        self._said = sentence()
        self._said.visible = False
        self.widget = stack(row(self._python, self._commands, stretch=(1, 1)), self._said)
        self._python.changed.connect(self.copy_python)
        self._commands.changed.connect(self.copy_commands)

    def fall_silent(self) -> None:
        """Say nothing any more."""
        self._said.visible = False

    def copy_python(self) -> None:
        """Put a script into the clipboard."""
        self._copy(as_python, "Python")

    def copy_commands(self) -> None:
        """Put commands into the clipboard."""
        self._copy(as_command_line, "a command line")

    def _copy(self, write: Callable[[Work], str], kind: str) -> None:
        with telling_errors(self._said):
            work = self._work()
            if work is None:
                return
            text = write(work)
            clipboard = QApplication.clipboard()
            assert clipboard is not None  # of the application whose button was clicked
            clipboard.setText(text)
            advice = " Its first lines say what to save before." if "First save " in text else ""
            self._said.value, self._said.visible = f"Copied as {kind}.{advice}", True

    def _work(self) -> Work | None:
        """Return what the dock would do; None if a question about the labels is not answered."""
        data, session = self._data, self._session
        sources: list[Source] = []
        # without labels, what is left to do is segmenting with the present model
        if data.choice.labels is not None or session.segmenter is None:
            others = data.others()
            sources = [Source(data.image, data.labels, data.regions), *others]
            if not data.settle_meaning(others):
                return None
        return Work(
            viewer=session.viewer,
            sources=sources,
            image=data.image,
            scope=self._scope(),
            segmenter=session.segmenter,
            training=self._train_config(),
            prediction=self._predict_config(),
        )
