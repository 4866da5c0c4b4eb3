"""YAML without surprises.

Add here: what no settings file may do.
Not here: what a given file means (its pydantic model says so).

PyYAML lets a repeated key pass, reads ``NO`` as false, ``010`` as 8 and ``12:30:45`` as 45045.
Here every such value is refused with its line: whatever two YAML versions read differently has to
be quoted.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import yaml
from pydantic_core import ErrorDetails, PydanticCustomError

from crm_pipeline.lib.errors import ConfigError

MAX_BYTES = 1_000_000
MAX_DEPTH = 40

_FastLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Path_ = tuple[str | int, ...]
Model = TypeVar("Model", bound=pydantic.BaseModel)

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+")
_TRAPS = (
    (re.compile(r"(?i)y|n|yes|no|on|off"), "YAML 1.1 reads it as true or false"),
    (re.compile(r"[-+]?0[0-9_]+"), "YAML 1.1 reads it as an octal number"),
    (re.compile(r"[-+]?0[xob][0-9a-fA-F_]+"), "it is a number in another base"),
    (re.compile(r"[-+]?[0-9][0-9_]*(:[0-9]{1,2})+(\.[0-9]*)?"), "YAML 1.1 reads it in base 60"),
    (re.compile(r"[-+]?[0-9]+_[0-9_]*(\.[0-9_]*)?"), "the underscores would vanish"),
    (re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?"), "YAML 1.1 reads it as a date"),
    (
        re.compile(r"[-+]?([0-9]*\.?[0-9]+|[0-9]+\.)[eE][-+]?[0-9]+"),
        "versions of YAML differ on it",
    ),
    (re.compile(r"\+[0-9.]+|-?\.[0-9]+|-?[0-9]+\."), "versions of YAML differ on it"),
    (re.compile(r"(?i)[-+]?\.(inf|nan)"), "it is no finite number"),
    (re.compile(r"=|<<"), "it has a special meaning in YAML 1.1"),
)
_WORDS: dict[str, bool | None] = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
    "null": None,
    "Null": None,
    "NULL": None,
    "~": None,
    "": None,
}


@dataclass(frozen=True)
class YamlDocument:
    """One document: plain data, and the line on which each key or list item stands."""

    path: Path
    data: Any
    lines: dict[Path_, int] = field(repr=False)

    def where(self, at: Sequence[str | int] = ()) -> str:
        """``file:line`` of the key at ``at``, or of the nearest key above it that exists."""
        known = tuple(at)
        while known and known not in self.lines:
            known = known[:-1]
        return f"{self.path}:{self.lines.get(known, 1)}"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a document, where, and what to write instead."""

    at: Path_
    what: str
    remedy: str = ""


def problems_error(problems: Sequence[Problem]) -> PydanticCustomError:
    """What a model's validator raises to report several problems, each at its own key."""
    text = "; ".join(f"{problem.what} ({problem.remedy})" for problem in problems)
    return PydanticCustomError("problems", "{text}", {"text": text, "problems": tuple(problems)})


def load_document(path: Path) -> YamlDocument:
    """The only document of ``path``."""
    documents = load_documents(path)
    if len(documents) != 1:
        raise ConfigError(
            f"{path.name} holds {len(documents)} YAML documents; one is expected",
            where=str(path),
            remedy="keep one document in the file and remove the other '---' lines",
        )
    return documents[0]


def load_documents(path: Path) -> list[YamlDocument]:
    """All documents of ``path``, read strictly.

    Raises:
        ConfigError: not UTF-8, too big, a tab, an anchor, an alias, a tag, a repeated key, a value
            that YAML versions read differently, or no YAML at all; always with file and line.
    """
    text = _read_text(path)
    with contextlib.suppress(yaml.YAMLError):  # libyaml is fast; its twin says better what is wrong
        builder = _Builder(path)
        builder.consume(yaml.parse(text, Loader=_FastLoader))
        return builder.documents
    builder = _Builder(path)
    try:
        builder.consume(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(
            f"this is not valid YAML: {getattr(error, 'problem', None) or error}",
            where=f"{path}{line}",
            remedy="check indentation, colons and quotes on this line and the one above it",
        ) from error
    return builder.documents


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from error
    if len(data) > MAX_BYTES:
        raise ConfigError(
            f"{len(data)} bytes are too many for a settings file (limit {MAX_BYTES})",
            where=str(path),
            remedy="split it",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(
            "the file is not UTF-8", where=f"{path}:{line}", remedy="save it as UTF-8"
        ) from error
    for number, line_text in enumerate(text.splitlines(), start=1):
        if "\t" in line_text:
            raise ConfigError(
                "a tab character",
                where=f"{path}:{number}",
                remedy=r'indent with spaces; inside a value write "\t" in double quotes',
            )
    return text


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return mark.line + 1 if mark else 1


class _Builder:
    """Turns parser events into plain data.

    Nothing recursive, so that no nesting can exhaust the stack.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.documents: list[YamlDocument] = []

    def consume(self, events: Iterator[yaml.Event]) -> None:
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._start()
            elif isinstance(event, yaml.DocumentEndEvent):
                self._finish()
            else:
                self._refuse_cleverness(event)
                self._take(event)

    def _start(self) -> None:
        self.root: Any = None
        self.lines: dict[Path_, int] = {}
        self.stack: list[tuple[Any, Path_]] = []
        self.key: str | None = None
        self.has_key = False

    def _finish(self) -> None:
        if self.root is not None:
            self.documents.append(YamlDocument(self.path, self.root, self.lines))

    def _take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            if self.stack and isinstance(self.stack[-1][0], dict) and not self.has_key:
                self._take_key(event)
            else:
                self._add(self._scalar(event), event)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if self.stack and isinstance(self.stack[-1][0], dict) and not self.has_key:
                self._refuse("a key must be plain text", event, "write a simple name before ':'")
            container: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
            at = self._add(container, event)
            self.stack.append((container, at))
            if len(self.stack) > MAX_DEPTH:
                self._refuse(f"nested more than {MAX_DEPTH} deep", event, "flatten the file")
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self.stack.pop()

    def _take_key(self, event: yaml.ScalarEvent) -> None:
        if event.implicit[0]:
            self._refuse_trap(event)
        mapping, at = self.stack[-1]
        key = event.value
        if key in mapping:
            first = self.lines[(*at, key)]
            self._refuse(
                f"the key {key!r} stands twice; the first is on line {first}", event, "keep one"
            )
        self.key, self.has_key = key, True
        self.lines[(*at, key)] = _line(event)

    def _add(self, value: Any, event: yaml.Event) -> Path_:
        if not self.stack:
            self.root = value
            self.lines[()] = _line(event)
            return ()
        container, at = self.stack[-1]
        if isinstance(container, dict):
            assert self.key is not None
            container[self.key] = value
            self.has_key = False
            return (*at, self.key)
        here = (*at, len(container))
        container.append(value)
        self.lines[here] = _line(event)
        return here

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        text = str(event.value)
        if not event.implicit[0]:  # quoted or a block: it is text
            return text
        if text in _WORDS:
            return _WORDS[text]
        self._refuse_trap(event)
        if _INTEGER.fullmatch(text):
            return int(text)
        if _DECIMAL.fullmatch(text):
            return float(text)
        return text

    def _refuse_trap(self, event: yaml.ScalarEvent) -> None:
        for shape, reason in _TRAPS:
            if shape.fullmatch(event.value):
                self._refuse(
                    f"{event.value} without quotes: {reason}", event, f'write "{event.value}"'
                )

    def _refuse_cleverness(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            name = getattr(event, "anchor", "")
            self._refuse(
                f"anchors and aliases (&{name}, *{name}) are not read", event, "write it out"
            )
        if getattr(event, "tag", None):
            tag = str(event.tag)  # type: ignore[attr-defined]
            self._refuse(f"the tag {tag} is not read", event, "write a plain value")

    def _refuse(self, what: str, event: yaml.Event, remedy: str) -> typing.NoReturn:
        line = _line(event)
        raise ConfigError(what, where=f"{self.path}:{line}", remedy=remedy)


def validate(model: type[Model], document: YamlDocument, at: Path_ = ()) -> Model:
    """An instance of ``model`` from the part of ``document`` below ``at``.

    Raises:
        ConfigError: names every problem with its file and line and what to write instead.
    """
    data = document.data
    for key in at:
        data = data[key]
    try:
        return model.model_validate(data)
    except pydantic.ValidationError as error:
        problems = list(_problems(model, error))
    raise refusal(document, [Problem((*at, *p.at), p.what, p.remedy) for p in problems])


def refusal(document: YamlDocument, problems: Sequence[Problem]) -> ConfigError:
    """One error that lists all ``problems`` by line."""
    if len(problems) == 1:
        only = problems[0]
        return ConfigError(only.what, where=document.where(only.at), remedy=only.remedy or None)
    lines = []
    for problem in sorted(problems, key=lambda p: int(document.where(p.at).rsplit(":", 1)[1])):
        lines.append(f"{document.where(problem.at)}: {problem.what}")
        if problem.remedy:
            lines.append(f"    do: {problem.remedy}")
    return ConfigError(
        f"{len(problems)} problems:\n" + "\n".join(f"  {line}" for line in lines),
        where=str(document.path),
        remedy="correct the lines named above; nothing was loaded",
    )


def did_you_mean(word: object, known: Sequence[str]) -> str:
    """``did you mean 'x'?`` or an empty string."""
    close = difflib.get_close_matches(str(word), known, n=1, cutoff=0.6)
    if not close:
        lower = {name.lower(): name for name in known}
        close = [lower[str(word).lower()]] if str(word).lower() in lower else []
    return f"did you mean {close[0]!r}?" if close else ""


def _problems(
    model: type[pydantic.BaseModel], error: pydantic.ValidationError
) -> Iterator[Problem]:
    for detail in error.errors(include_url=False):
        at = tuple(detail["loc"])
        if detail["type"] == "problems":
            for inner in detail["ctx"]["problems"]:
                yield Problem((*at, *inner.at), inner.what, inner.remedy)
        else:
            yield _explain(model, at, detail)


def _explain(model: type[pydantic.BaseModel], at: Path_, detail: ErrorDetails) -> Problem:
    kind, context = detail["type"], detail.get("ctx", {})
    parents = _models_at(model, at[:-1])
    names = sorted({_public_name(n, f) for m in parents for n, f in m.model_fields.items()})
    if kind == "extra_forbidden":
        hint = did_you_mean(at[-1], names)
        return Problem(
            at, f"unknown key {at[-1]!r}", f"{hint} known keys: {', '.join(names)}".strip()
        )
    if kind == "missing":
        return Problem(at[:-1], f"the key {at[-1]!r} is missing", _example(parents, str(at[-1])))
    if kind in ("literal_error", "enum"):
        allowed = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        hint = did_you_mean(detail["input"], allowed)
        return Problem(
            at,
            f"{detail['input']!r} is not allowed",
            f"{hint} write one of: {', '.join(allowed)}".strip(),
        )
    message = detail["msg"].removeprefix("Value error, ")
    remedy = _example(parents, str(at[-1])) if at else ""
    return Problem(at, f"{message} (found {_shorten(detail['input'])})", remedy)


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _public_name(name: str, info: pydantic.fields.FieldInfo) -> str:
    return info.alias or name


def _example(models: Sequence[type[pydantic.BaseModel]], key: str) -> str:
    for model in models:
        for name, info in model.model_fields.items():
            if key not in (_public_name(name, info), name):
                continue
            example = f"for example {key}: {info.examples[0]}" if info.examples else ""
            return "; ".join(part for part in (info.description or "", example) if part)
    return ""


def _models_at(model: type[pydantic.BaseModel], at: Path_) -> list[type[pydantic.BaseModel]]:
    """The models whose fields may stand at ``at``; several where the type is a union."""
    types_here: list[Any] = [model]
    for key in at:
        types_here = [inner for outer in types_here for inner in _step_into(outer, key)]
    return [
        t
        for t in _unwrap_all(types_here)
        if isinstance(t, type) and issubclass(t, pydantic.BaseModel)
    ]


def _step_into(annotation: Any, key: str | int) -> list[Any]:
    found = []
    for inner in _unwrap_all([annotation]):
        if isinstance(inner, type) and issubclass(inner, pydantic.BaseModel):
            found += [
                info.annotation
                for name, info in inner.model_fields.items()
                if key in (name, _public_name(name, info))
            ]
        elif typing.get_origin(inner) in (list, tuple, dict) and typing.get_args(inner):
            found.append(next(a for a in reversed(typing.get_args(inner)) if a is not Ellipsis))
    return found


def _unwrap_all(annotations: Sequence[Any]) -> list[Any]:
    flat: list[Any] = []
    for annotation in annotations:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            flat += _unwrap_all([typing.get_args(annotation)[0]])
        elif origin in (typing.Union, types.UnionType):
            flat += _unwrap_all(typing.get_args(annotation))
        else:
            flat.append(annotation)
    return flat
