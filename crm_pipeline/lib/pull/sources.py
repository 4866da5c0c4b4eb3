"""All pull sources of a deployment.

Add here: rules between a source and the feed it lands for.
Not here: what one source may say (``spec``).
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.ingestion.feed_spec import FeedSpec
from crm_pipeline.lib.ingestion.feeds import feeds_in
from crm_pipeline.lib.pull.spec import PullSpec, sample_name
from crm_pipeline.lib.strict_yaml import (
    Problem,
    YamlDocument,
    did_you_mean,
    load_documents,
    refusal,
    validate,
)

COMPONENT = "crm_pipeline.components.PullSource"
ANY_DAY = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
Pull = tuple[PullSpec, FeedSpec]


def load_pulls(channels_dir: Path) -> list[Pull]:
    """Every pull source below ``channels_dir`` with its feed, in the order of their names.

    Raises:
        ConfigError: names all problems of the first wrong document, each with its line.
    """
    names: dict[str, YamlDocument] = {}
    found: list[Pull] = []
    for path in sorted(channels_dir.rglob("defs.yaml")):
        for spec, feed, document in _pulls_in(path):
            if spec.source in names:
                raise ConfigError(
                    f"two pull sources are called {spec.source!r}",
                    where=document.where(("attributes", "source")),
                    remedy=f"rename one; the other stands at {names[spec.source].where()}",
                )
            names[spec.source] = document
            found.append((spec, feed))
    return sorted(found, key=lambda pull: pull[0].source)


def load_pull(path: Path, source: str) -> Pull:
    """The source called ``source`` of one file."""
    found = {spec.source: (spec, feed) for spec, feed, _ in _pulls_in(path)}
    if source not in found:
        raise ConfigError(
            f"no pull source is called {source!r} here",
            where=str(path),
            remedy=f"use one of: {', '.join(found)}",
        )
    return found[source]


def pulls_feeding(path: Path, feed: str) -> list[str]:
    """Names of the sources of one file that land files for ``feed``."""
    return sorted(spec.source for spec, its_feed, _ in _pulls_in(path) if its_feed.feed == feed)


def _pulls_in(path: Path) -> Iterator[tuple[PullSpec, FeedSpec, YamlDocument]]:
    if "PullSource" not in path.read_text(encoding="utf-8", errors="replace"):
        return  # most files; reading YAML strictly takes its time
    documents = [document for document in load_documents(path) if _is_pull(document)]
    feeds = {feed.feed: feed for feed, _ in feeds_in(path)}
    for document in documents:
        _check_frame(document)
        spec = validate(PullSpec, document, ("attributes",))
        if spec.feed not in feeds:
            hint = did_you_mean(spec.feed, list(feeds))
            raise refusal(document, [Problem(
                ("attributes", "feed"),
                f"no feed of this file is called {spec.feed!r}",
                f"{hint} write a ChannelFeed beside the source: {', '.join(feeds)}".strip(),
            )])  # fmt: skip
        problems = list(_check_feed(spec, feeds[spec.feed]))
        if problems:
            raise refusal(document, problems)
        yield spec, feeds[spec.feed], document


def _is_pull(document: YamlDocument) -> bool:
    said = document.data.get("type") if isinstance(document.data, dict) else None
    return str(said).rsplit(".", 1)[-1] == "PullSource"


def _check_frame(document: YamlDocument) -> None:
    problems = [
        Problem((key,), f"unknown key {key!r}", "write only type and attributes")
        for key in document.data
        if key not in ("type", "attributes")
    ]
    if not isinstance(document.data.get("attributes"), dict):
        problems.append(
            Problem(("type",), "the source's attributes are missing", "write attributes: below it")
        )
    if problems:
        raise refusal(document, problems)


def _check_feed(spec: PullSpec, feed: FeedSpec) -> Iterator[Problem]:
    """The file this source writes must be one its feed reads, and only when it is whole."""
    at = ("attributes", "feed")
    name = sample_name(feed.landing_folder, ANY_DAY, feed.timezone)
    if feed.format.kind != "jsonl":
        yield Problem(
            at, f"{feed.feed} reads {feed.format.kind}; pulled files are JSON lines",
            "write format: {kind: jsonl} in the feed",
        )  # fmt: skip
    if not fnmatch.fnmatchcase(name, feed.files):
        yield Problem(
            at, f"{feed.feed} does not read files named like {name}",
            'write files: "*.jsonl" in the feed',
        )  # fmt: skip
    if feed.completion != "manifest":
        yield Problem(
            at, f"{feed.feed} does not wait for the manifest that proves a pulled file",
            "write completion: manifest in the feed",
        )  # fmt: skip
    known = feed.known_at.file_name
    if known and not _reads(known, str(feed.known_at.format), name):
        yield Problem(
            at, f"{feed.feed} does not find the delivery time in {name}",
            r"write known_at: {file_name: '_(\d{8}T\d{6})', format: '%Y%m%dT%H%M%S'} in the feed",
        )  # fmt: skip
    if spec.sql and spec.sql.columns:
        wanted = {source for source, is_needed in feed.wanted_columns() if is_needed}
        wanted |= {spec.sql.incremental.field} if spec.sql.incremental else set()
        if missing := sorted(wanted - set(spec.sql.columns)):
            yield Problem(
                ("attributes", "sql", "columns"),
                f"{', '.join(missing)}: needed, and not among the columns",
                "add them",
            )


def _reads(pattern: str, form: str, name: str) -> bool:
    match = re.search(pattern, name)
    try:
        datetime.strptime(match.group(1) if match else "", form)  # noqa: DTZ007
    except (ValueError, IndexError):
        return False
    return True
