"""Landing expectations by Great Expectations: the contract once more, by another pair of eyes.

Add here: an expectation that follows from the contract.
Not here: rules between records or files (dbt tests).

A rule on single values holds for every row if it holds for the smallest and the largest value, the
shortest and the longest text, and each member of a closed list. So one aggregate over all rows is
enough, and no personal value ever reaches a suite or a page of Data Docs.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion import entities
from crm_pipeline.lib.ingestion.conform import mapping_of
from crm_pipeline.lib.ingestion.conversions import quote
from crm_pipeline.lib.ingestion.entities import Column
from crm_pipeline.lib.ingestion.feed_spec import ColumnMapping, FeedSpec

VIEWS = "crm_pipeline.lib.ingestion.docs_views"
LATEST = "9000-01-01"
LISTED = 1000  # members of a closed list that are looked at; a list that long is wrong anyway


@dataclass(frozen=True)
class ExpectationOutcome:
    """One expectation's verdict over all rows of the parts."""

    name: str
    success: bool
    severity: str  # error or warn
    unexpected_count: int


@dataclass(frozen=True)
class Rule:
    """One expectation on one column of the aggregate."""

    column: str
    kind: str  # present, listed, between or equal
    severity: str = "error"
    low: Any = None
    high: Any = None
    values: tuple[str, ...] = ()
    other: str = ""

    @property
    def name(self) -> str:
        said = {"present": "is never null", "listed": "is a declared value"}
        said |= {
            "between": f"is between {self.low} and {self.high}",
            "equal": f"equals {self.other}",
        }
        return f"{self.column} {said[self.kind]}"


def validate_parts(
    home: CrmHome, spec: FeedSpec, parts: Sequence[Path]
) -> list[ExpectationOutcome]:
    """Judges all rows of ``parts`` and writes the feed's page of Data Docs."""
    if not parts:
        return []
    rules = list(rules_of(spec))
    frame = _extremes(spec, parts)
    results = _judge(home, spec, rules, frame)
    return [
        ExpectationOutcome(
            rule.name,
            bool(result.success),
            rule.severity,
            0 if result.success else int((result.result or {}).get("unexpected_count", 1) or 1),
        )
        for rule, result in zip(rules, results, strict=True)
    ]


def rules_of(spec: FeedSpec) -> Iterator[Rule]:
    """The feed's expectations, from its contract."""
    yield Rule("row_count", "between", low=1, high=None)
    yield Rule("row_count", "equal", other="distinct_record_numbers")
    yield Rule("record_id_length", "between", low=32, high=32)
    yield Rule("content_hash_length", "between", low=32, high=32)
    yield Rule("known_at", "present")
    for column in spec.contract.columns:
        if mapping_of(spec, column) is None:
            continue
        if column.required or column.name in spec.natural_key:
            yield Rule(_shown(column), "present")
        yield from _value_rules(spec, column)


def _value_rules(spec: FeedSpec, column: Column) -> Iterator[Rule]:
    name = _shown(column)
    if column.kind in ("enum", "currency"):
        values = column.values or tuple(sorted(entities.CURRENCIES))
        yield Rule(name, "listed", values=values)
    elif column.kind in entities.NUMBERS:
        yield _number_rule(spec, column)
    elif column.kind in ("timestamp", "date"):
        low = dt.datetime.fromisoformat(column.low) if column.low else None
        yield Rule(name, "between", low=low, high=dt.datetime.fromisoformat(LATEST))
    elif column.kind in ("id", "text"):
        mapping = mapping_of(spec, column)
        limit = (mapping.max_length if mapping else None) or column.max_length
        yield Rule(name, "between", low=1, high=limit)


def _number_rule(spec: FeedSpec, column: Column) -> Rule:
    mapping = mapping_of(spec, column)
    allow = mapping.allow if mapping else []
    high = mapping.high if mapping and mapping.high is not None else column.high
    low = mapping.low if mapping and mapping.low is not None else column.low
    if low is None:
        is_signed = column.accepts_negative or "negative" in allow or _turns_negative(mapping)
        low = -float(high) if is_signed and high is not None else None if is_signed else 0
    return Rule(
        _shown(column),
        "between",
        low=None if low is None else float(low),
        high=None if high is None else float(high),
    )


def _turns_negative(mapping: ColumnMapping | None) -> bool:
    return mapping is not None and mapping.sign == "by_kind"


def _shown(column: Column) -> str:
    return f"{column.name}_length" if column.kind in ("id", "text") else column.name


# ------------------------------------------------------------------------- the aggregate


def _extremes(spec: FeedSpec, parts: Sequence[Path]) -> dict[str, list[Any]]:
    """Columns of extreme values, all of one length, a null where any row has none."""
    selected = {
        "row_count": "[count(*)]",
        "distinct_record_numbers": "[count(distinct (file_sha256, record_number))]",
        "record_id_length": "[min(length(record_id)), max(length(record_id))]",
        "content_hash_length": "[min(length(content_hash)), max(length(content_hash))]",
        "known_at": _with_null("known_at", "[min(known_at), max(known_at)]"),
    }
    for column in spec.contract.columns:
        if mapping_of(spec, column) is not None:
            selected[_shown(column)] = _with_null(column.name, _projected(column))
    names = ", ".join(f"{sql} as {name}" for name, sql in selected.items())
    paths = ", ".join(quote(path) for path in parts)
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        row = connection.execute(f"select {names} from read_parquet([{paths}])").fetchone()
    found = dict(zip(selected, row or (), strict=True))
    longest = max(len(values) for values in found.values())
    return {name: values + values[:1] * (longest - len(values)) for name, values in found.items()}


def _projected(column: Column) -> str:
    name = column.name
    if column.kind in ("id", "text"):
        return f"[min(length({name})), max(length({name}))]"
    if column.kind in entities.NUMBERS:
        return f"[min({name})::double, max({name})::double]"
    if column.kind in ("enum", "currency"):
        return f"coalesce(list(distinct {name})[:{LISTED}], [null])"
    if column.kind in ("date", "timestamp"):
        return f"[min({name})::timestamp, max({name})::timestamp]"
    return f"[min({name}::integer), max({name}::integer)]"


def _with_null(name: str, values: str) -> str:
    return f"case when count(*) > count({name}) then list_append({values}, null) else {values} end"


# ------------------------------------------------------------------- Great Expectations


def warm_up() -> None:
    """Imports what takes seconds."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations  # noqa: F401
        import pandas  # noqa: F401


def _judge(
    home: CrmHome, spec: FeedSpec, rules: Sequence[Rule], frame: dict[str, list[Any]]
) -> list[Any]:
    warm_up()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations as gx  # takes seconds; only a run with new files pays
        import pandas as pd

        logging.getLogger("great_expectations").setLevel(logging.ERROR)
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        expectations = [_expectation(rule) for rule in rules]
        suite = context.suites.add(gx.ExpectationSuite(name=spec.feed, expectations=expectations))
        source = context.data_sources.add_pandas("landing")
        asset = source.add_dataframe_asset(spec.feed)
        batch = asset.add_batch_definition_whole_dataframe("new_parts")
        definition = context.validation_definitions.add(
            gx.ValidationDefinition(name=spec.feed, data=batch, suite=suite)
        )
        result = definition.run(
            batch_parameters={"dataframe": pd.DataFrame(frame)},
            result_format={"result_format": "BASIC", "partial_unexpected_count": 0},
        )
        _publish_docs(context, home.data_docs, spec.feed)
    by_id = {found.expectation_config.id: found for found in result.results}
    return [by_id[expectation.id] for expectation in suite.expectations]


def _expectation(rule: Rule) -> Any:
    import great_expectations.expectations as gxe

    severity = "critical" if rule.severity == "error" else "warning"
    if rule.kind == "present":
        return gxe.ExpectColumnValuesToNotBeNull(column=rule.column, severity=severity)
    if rule.kind == "listed":
        return gxe.ExpectColumnValuesToBeInSet(
            column=rule.column, value_set=list(rule.values), severity=severity
        )
    if rule.kind == "equal":
        return gxe.ExpectColumnPairValuesToBeEqual(
            column_A=rule.column, column_B=rule.other, severity=severity
        )
    return gxe.ExpectColumnValuesToBeBetween(
        column=rule.column, min_value=rule.low, max_value=rule.high, severity=severity
    )


def _publish_docs(context: Any, data_docs: Path, feed: str) -> None:
    """One site per feed, always of its newest validation.

    It neither grows nor meets another run's.
    """
    site = data_docs / feed
    fresh = data_docs / f".tmp-{feed}-{os.getpid()}"
    shutil.rmtree(fresh, ignore_errors=True)
    backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(fresh)}
    page = {"module_name": VIEWS, "class_name": "PageView"}
    index = {"class_name": "DefaultSiteIndexBuilder"}
    context.add_data_docs_site(
        site_name=feed,
        site_config={
            "class_name": "SiteBuilder",
            "store_backend": backend,
            "site_section_builders": {
                "expectations": {"view": page},
                "validations": {"view": page},
            },
            "site_index_builder": index | {"view": page | {"class_name": "IndexView"}},
        },
    )
    context.build_data_docs(site_names=[feed])
    shutil.rmtree(site, ignore_errors=True)
    fresh.replace(site)
