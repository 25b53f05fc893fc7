"""Offer back the work of a session that did not end well."""

from __future__ import annotations

from pathlib import Path

from napari.utils.notifications import show_info, show_warning
from napari.utils.theme import get_theme
from qtpy.QtWidgets import QFrame, QVBoxLayout

from napari_unet.viewer.saving.restore import dismiss, found, restore
from napari_unet.viewer.session import Session
from napari_unet.widgets.parts import button, row, sentence, stack
from napari_unet.widgets.telling import telling_errors

__all__ = ["RestorePanel"]


class RestorePanel:
    """Says that there is something to restore, as long as there is; otherwise nothing is seen.

    Parameters
    ----------
    session : Session
        Gets what is restored.
    root : path, optional
        Where sessions are saved, if not where they usually are.
    """

    def __init__(self, session: Session, root: Path | None = None) -> None:
        self._session = session
        self._offers = found(root)
        self._said = sentence()
        self._restore = button(
            "Restore",
            "Add the saved labels and training regions as new layers, open their images if "
            "needed, and use the saved model. Nothing that is open is changed.",
        )
        self._dismiss = button(
            "Dismiss",
            "Do not offer this again. The files are kept until five later sessions have ended.",
        )
        self._inner = stack(self._said, row(self._restore, self._dismiss, stretch=(1, 1)))
        self._frame = QFrame()
        self._frame.setObjectName("offer")
        QVBoxLayout(self._frame).addWidget(self._inner.native)
        self.widget = stack()
        self.widget.native.layout().addWidget(self._frame)
        self._restore.changed.connect(self._on_restore)
        self._dismiss.changed.connect(self._on_dismiss)
        self.renew()

    def renew(self) -> None:
        """Offer the newest of what there is, in the colours of the present theme."""
        colour = get_theme(self._session.viewer.theme).warning.as_hex(format="long")
        # napari's own style sheet takes the border from every frame
        self._frame.setStyleSheet(f"#offer {{ border: 1px solid {colour}; border-radius: 2px; }}")
        self._frame.setVisible(bool(self._offers))
        if self._offers:
            self._said.value = self._offers[0].sentence
            self._said.tooltip = self._offers[0].description

    def _on_restore(self) -> None:
        offer = self._offers[0]
        self._restore.enabled = self._dismiss.enabled = False
        try:
            with telling_errors():
                complaints = restore(self._session.viewer, self._session, offer)
                self._offers.remove(offer)
                show_info(f"Restored: {offer.description}.")
                for complaint in complaints:  # one by one, for napari cuts long ones off
                    show_warning(complaint)
        finally:
            self._restore.enabled = self._dismiss.enabled = True
            self.renew()

    def _on_dismiss(self) -> None:
        with telling_errors():
            dismiss(self._offers.pop(0))
        self.renew()
