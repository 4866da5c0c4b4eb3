"""Errors of the model library.

Add here: one class per kind of refusal, all under ``MlError``. Not here: checks that raise them.
"""

from collections.abc import Iterable

__all__ = [
    "ArtifactError",
    "ConvergenceError",
    "InvalidDataError",
    "MissingColumnsError",
    "MlError",
    "NotEnoughDataError",
    "NotFittedError",
]


class MlError(Exception):
    """Base of every error this library raises on purpose.

    Args:
        what: What is wrong, with names and numbers.
        remedy: What the reader can do about it.
    """

    def __init__(self, what: str, *, remedy: str) -> None:
        self.what = what
        self.remedy = remedy
        super().__init__(f"{what}\n  do: {remedy}")


class MissingColumnsError(MlError):
    """The input frame lacks columns the model reads."""

    def __init__(self, missing: Iterable[str], *, frame_name: str) -> None:
        self.missing = tuple(missing)
        super().__init__(
            f"{frame_name} lacks the columns: {', '.join(self.missing)}",
            remedy=f"add them to the query or file that makes {frame_name}",
        )


class InvalidDataError(MlError):
    """Values that no customer can have, such as an infinite amount or a negative count."""


class NotEnoughDataError(MlError):
    """Too few customers, cut-offs or outcomes to learn from; fall back to a simpler model."""


class ConvergenceError(MlError):
    """The likelihood search ended somewhere that is not a maximum."""


class ArtifactError(MlError):
    """A stored model version is damaged, foreign or cannot be written."""


class NotFittedError(MlError):
    """A prediction was asked of a model that has seen no data."""

    def __init__(self, model_name: str) -> None:
        super().__init__(
            f"{model_name} is not fitted",
            remedy="call fit(...) or from_artifact(...) first",
        )
