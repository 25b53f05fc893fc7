"""How long a training goes on, how far it is, and when it is validated."""

from __future__ import annotations

import time

from napari_unet.core.config import TrainConfig

__all__ = ["Budget"]

FIRST_VALIDATION = 2.0
"""Seconds until the first validation; the gaps between later ones grow by a fifth ..."""

LONGEST_GAP = 15.0
"""... up to this: what is learned after the last validation is lost when somebody stops."""

VALIDATIONS = 12
"""How often a training with a step budget is validated; a clock would make it irreproducible."""

FINISHING, LONGEST_FINISH = 0.2, 8.0
"""How long a training goes on after `finish`: this share of its time so far, at most so long, and
not beyond its budget."""


class Budget:
    """The clock of a training, which begins now.

    Parameters
    ----------
    config : TrainConfig
        Seconds and steps; 0 is no limit.

    Attributes
    ----------
    next_validation : float
        Seconds at which a training without a limit of steps is validated next.
    """

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        self._began = time.perf_counter()
        self._finish: tuple[float, float, float] | None = None
        self.next_validation = FIRST_VALIDATION

    @property
    def seconds(self) -> float:
        """Time since it began."""
        return time.perf_counter() - self._began

    def go_on(self, seconds: float, next_validation: float) -> None:
        """Count the time of an earlier part."""
        self._began = time.perf_counter() - seconds
        self.next_validation = next_validation

    def finish(self, step: int) -> None:
        """Use up the rest of the budget soon, from this step on: with some time to anneal in."""
        if self._finish is None:
            span = min(FINISHING * self.seconds, LONGEST_FINISH)
            self._finish = self.seconds, span, self.progress(step)

    def progress(self, step: int) -> float:
        """Return the used share of the budget; of the steps, if they are limited."""
        used = 0.0
        if self._config.steps:
            used = step / self._config.steps
        elif self._config.seconds:
            used = self.seconds / self._config.seconds
        if self._finish is not None:
            began, span, before = self._finish
            rest = (self.seconds - began) / span if span > 0 else 1.0
            used = max(used, before + (1 - before) * rest)
        return min(used, 1.0)

    def over(self, step: int) -> bool:
        """Return whether the budget of steps or that of seconds is used up."""
        late = self._config.seconds > 0 and self.seconds >= self._config.seconds
        return late or self.progress(step) >= 1

    def validation_due(self, step: int) -> bool:
        """Return whether to validate now: by steps if they are limited, otherwise by the clock."""
        if self._config.steps:
            return step % max(1, self._config.steps // VALIDATIONS) == 0
        seconds = self.seconds
        if seconds < self.next_validation:
            return False
        self.next_validation = seconds + min(0.2 * seconds, LONGEST_GAP) + FIRST_VALIDATION
        return True
