"""Strict reading of a declaration: plain mappings and lists, checked entry by entry.

Add here: what is true of any entry. Not here: which entries there are (``record_spec``).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml.errors import MlError

__all__ = ["RecordSpecError", "Section"]


class RecordSpecError(MlError):
    """A declaration that cannot be followed, or a table that does not fit it."""

    def __init__(self, where: str, what: str, *, remedy: str) -> None:
        self.where = where
        super().__init__(f"{where}: {what}", remedy=remedy)


class Section:
    """A mapping of the file and its place in it; every reader refuses what does not fit."""

    def __init__(self, where: str, data: Any) -> None:
        self.where = where
        if not isinstance(data, Mapping) or not all(isinstance(key, str) for key in data):
            self.refuse("", "is no mapping", "write `name: value` lines")
        self.data: Mapping[str, Any] = data

    def refuse(self, key: str, what: str, remedy: str) -> None:
        where = ".".join(part for part in (self.where, key) if part) or "declaration"
        raise RecordSpecError(where, what, remedy=remedy)

    def allow(self, *keys: str) -> "Section":
        self.refuse_unknown("", list(self.data), keys)
        return self

    def refuse_unknown(self, key: str, names: Sequence[str], known: Sequence[str]) -> None:
        unknown = [name for name in names if name not in known]
        if unknown:
            self.refuse(key, f"unknown {', '.join(unknown)}", f"known are: {', '.join(known)}")

    def section(self, key: str, *, is_optional: bool = False) -> "Section":
        value = self._get(key, {} if is_optional else None)
        return Section(".".join(part for part in (self.where, key) if part), value)

    def sections(self, key: str) -> list["Section"]:
        return [
            Section(f"{self.where}.{key}[{number}]", item)
            for number, item in enumerate(self._list(key, self._get(key, None)))
        ]

    def text(self, key: str, *, default: str | None = None) -> str:
        value = self._get(key, default)
        if not isinstance(value, str) or not value.strip():
            self.refuse(key, f"is no text: {value!r}", "write a word; quote what YAML would change")
        return str(value)

    def choice(self, key: str, choices: Sequence[str], *, default: str | None = None) -> str:
        value = self.text(key, default=default)
        self.refuse_unknown(key, [value], choices)
        return value

    def texts(self, key: str, *, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        value = self._get(key, default)
        return self._texts(key, [value] if isinstance(value, str) else value)

    def terms(self, key: str, known: tuple[str, ...]) -> tuple[str, ...]:
        names = self.texts(key)
        self.refuse_unknown(key, names, known)
        return names

    def term_lists(self, key: str, known: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        lists = tuple(
            self._texts(f"{key}[{number}]", [item] if isinstance(item, str) else item)
            for number, item in enumerate(self._list(key, self._get(key, None)))
        )
        for number, names in enumerate(lists):
            self.refuse_unknown(f"{key}[{number}]", names, known)
        return lists

    def pairs(self, key: str) -> tuple[tuple[str, str], ...]:
        section = self.section(key, is_optional=True)
        return tuple((short, section.text(short)) for short in section.data)

    def count(self, key: str, default: int, *, least: int = 1) -> int:
        value = self.data.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            self.refuse(key, f"is {value!r}", f"write a whole number of at least {least}")
        return int(value)

    def number(self, key: str, default: float, low: float, high: float) -> float:
        value = self.data.get(key, default)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:
            self.refuse(key, f"is {value!r}", f"write a number from {low:g} to {high:g}")
        return float(value)

    def optional_number(
        self, key: str, default: float | None, low: float, high: float
    ) -> float | None:
        if self.data.get(key, default) is None:
            return None
        return self.number(key, 0.0 if default is None else default, low, high)

    def _get(self, key: str, default: Any) -> Any:
        if key not in self.data and default is None:
            self.refuse(key, "is missing", "add it; examples/identity has whole declarations")
        return self.data.get(key, default)

    def _list(self, key: str, value: Any) -> list[Any]:
        if not isinstance(value, list | tuple) or not value:
            self.refuse(key, "is no list, or an empty one", "write at least one `- item`")
        return list(value)

    def _texts(self, key: str, value: Any) -> tuple[str, ...]:
        if value == ():
            return ()
        items = self._list(key, value)
        for item in items:
            if not isinstance(item, str) or not item.strip():
                self.refuse(key, f"holds {item!r}", "write names; quote what YAML would change")
        if len(set(items)) < len(items):
            self.refuse(key, "names something twice", "name each once")
        return tuple(items)
