"""All feeds of a deployment.

Add here: rules between feeds.
Not here: what one feed may say (``feed_spec``).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.ingestion.entities import ENTITIES
from crm_pipeline.lib.ingestion.feed_spec import FeedSpec
from crm_pipeline.lib.ingestion.text import header_key
from crm_pipeline.lib.strict_yaml import Problem, YamlDocument, load_documents, refusal, validate

COMPONENT = "crm_pipeline.components.ChannelFeed"


def load_feeds(channels_dir: Path) -> list[FeedSpec]:
    """Every feed declared below ``channels_dir``, in the order of their names.

    Raises:
        ConfigError: names all problems of the first wrong file, each with its line.
    """
    found: list[tuple[FeedSpec, YamlDocument]] = []
    for path in _files_in(channels_dir):
        found += feeds_in(path)
    _check_together(found)
    channels = {spec.channel for spec, _ in found}
    return sorted((spec.among(channels) for spec, _ in found), key=lambda spec: spec.feed)


def load_feed(path: Path, feed: str) -> FeedSpec:
    """The feed called ``feed`` of one file, which stands beside those of the other channels."""
    specs = {spec.feed: spec for spec, _ in feeds_in(path)}
    if feed not in specs:
        raise ConfigError(
            f"no feed is called {feed!r} here",
            where=str(path),
            remedy=f"use one of: {', '.join(specs)}",
        )
    every = (spec.channel for other in _files_in(path.parent.parent) for spec, _ in feeds_in(other))
    return specs[feed].among([*every, *(spec.channel for spec in specs.values())])


def _files_in(channels_dir: Path) -> list[Path]:
    return sorted(channels_dir.rglob("defs.yaml"))


def feeds_in(path: Path) -> tuple[tuple[FeedSpec, YamlDocument], ...]:
    """The feeds of one file, each from a document of its own."""
    # Every component of a file asks for its own feed; a file that changed is read again.
    return _feeds_of(path, path.read_bytes() if path.is_file() else b"")


@functools.lru_cache(maxsize=256)
def _feeds_of(path: Path, content: bytes) -> tuple[tuple[FeedSpec, YamlDocument], ...]:
    return tuple(_read_feeds(path))


def _read_feeds(path: Path) -> Iterator[tuple[FeedSpec, YamlDocument]]:
    said: dict[str, YamlDocument] = {}
    for document in load_documents(path):
        if not isinstance(document.data, dict) or "type" not in document.data:
            raise ConfigError(
                "a component file names its type",
                where=document.where(),
                remedy=f"write type: {COMPONENT}",
            )
        if str(document.data["type"]).rsplit(".", 1)[-1] != "ChannelFeed":
            continue
        _check_frame(document)
        whole = _with_likeness(document, said)
        spec = validate(FeedSpec, whole, ("attributes",))
        said[spec.feed] = whole
        yield spec, whole


def _with_likeness(document: YamlDocument, said: Mapping[str, YamlDocument]) -> YamlDocument:
    """The document with what it takes over from an earlier feed of its file (``like``).

    Two editions of one export differ in a few headers; their rules must stand in one place.
    """
    own = dict(document.data["attributes"])
    if "like" not in own:
        return document
    if own["like"] not in said:
        known = ", ".join(said) or "none before this one"
        problem = Problem(
            ("attributes", "like"),
            f"no earlier feed of this file is called {own['like']!r}",
            f"name one of: {known}",
        )
        raise refusal(document, [problem])
    taken = said[own["like"]].data["attributes"]
    columns = {**taken.get("columns", {}), **own.get("columns", {})}
    merged = {**taken, **own, "columns": columns}
    if own.get("entity", taken.get("entity")) != taken.get("entity"):
        merged = _with_other_entity(merged, taken, own)
    return replace(document, data={**document.data, "attributes": merged})


def _with_other_entity(
    merged: dict[str, Any], taken: Mapping[str, Any], own: Mapping[str, Any]
) -> dict[str, Any]:
    """Two entities in one file: what only the earlier feed wants is known here and left alone."""
    contract = ENTITIES.get(merged["entity"])
    if contract is None:  # told where the whole feed is judged
        return merged
    columns = merged["columns"]
    foreign = set(columns) - set(contract.column_names) - set(own.get("columns", {}))
    left = [source for name in sorted(foreign) if (source := _source(columns[name]))]
    if "currency" not in contract.column_names and "currency" not in own:
        currency = merged.pop("currency", None)
        left += [str(currency["from"])] if isinstance(currency, Mapping) else []
    if "key" not in own:
        merged.pop("key", None)
    kept = {name: mapping for name, mapping in columns.items() if name not in foreign}
    sources = [source for mapping in kept.values() if (source := _source(mapping))]
    wanted = {header_key(word) for source in sources for word in (source, source.split(".")[0])}
    if merged["format"].get("kind") == "jsonl":  # whole branches of the object
        left = [source.split(".")[0] for source in left]
    known = dict.fromkeys([*taken.get("ignore", []), *own.get("ignore", []), *left])
    ignore = [name for name in known if header_key(name) not in wanted]
    return {**merged, "columns": kept, "ignore": ignore}


def _source(mapping: object) -> str | None:
    source = mapping.get("from") if isinstance(mapping, Mapping) else mapping
    return source if isinstance(source, str) else None


def _check_frame(document: YamlDocument) -> None:
    problems = [
        Problem((key,), f"unknown key {key!r}", "write only type and attributes")
        for key in document.data
        if key not in ("type", "attributes")
    ]
    if not isinstance(document.data.get("attributes"), dict):
        problems.append(
            Problem(
                ("type",),
                "the feed's attributes are missing",
                "write attributes: and the feed below it",
            )
        )
    if problems:
        raise refusal(document, problems)


def _check_together(found: Sequence[tuple[FeedSpec, YamlDocument]]) -> None:
    names: dict[str, YamlDocument] = {}
    keys: dict[tuple[str, str], tuple[FeedSpec, YamlDocument]] = {}
    places: dict[tuple[str, str], FeedSpec] = {}
    for spec, document in found:
        if spec.feed in names:
            first = names[spec.feed].where(("attributes", "feed"))
            raise ConfigError(
                f"two feeds are called {spec.feed!r}",
                where=document.where(("attributes", "feed")),
                remedy=f"rename one; the other stands at {first}",
            )
        names[spec.feed] = document
        _check_key(spec, document, keys)
        place = (spec.landing_folder, spec.files)
        other = places.setdefault(place, spec)
        if other is not spec and (other.entity == spec.entity or spec.like != other.feed):
            raise ConfigError(
                f"{spec.feed} and {other.feed} read the same files",
                where=document.where(("attributes", "feed")),
                remedy="give one of them another folder or file pattern; if the files hold two "
                f"entities, write like: {other.feed} and the other entity",
            )


def _check_key(
    spec: FeedSpec,
    document: YamlDocument,
    keys: dict[tuple[str, str], tuple[FeedSpec, YamlDocument]],
) -> None:
    """The key's scope is channel and entity, so every feed of both must mean the same key."""
    scope = (spec.channel, spec.entity)
    other, at = keys.setdefault(scope, (spec, document))
    if (spec.natural_key, spec.is_numbered) != (other.natural_key, other.is_numbered):
        raise ConfigError(
            f"{spec.feed} and {other.feed} feed {spec.entity} of {spec.channel} with different "
            f"keys",
            where=document.where(("attributes", "key")),
            remedy=f"declare the key of {at.where(('attributes', 'key'))}, or use another channel",
        )
