"""``crm run``, ``crm replay`` and ``crm recover``: what one command does, in order.

Add here: the steps of an operator's command.
Not here: options (``cli.py``), the work itself (assets and ``lib``).
"""

from __future__ import annotations

import importlib
import os
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import date
from pathlib import Path

from crm_pipeline import dbt_server
from crm_pipeline.lib.errors import ConfigError, PullError
from crm_pipeline.lib.examples import is_made, make_example, prepare_example
from crm_pipeline.lib.fingerprint import fingerprint_ledger
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion import FeedSpec, judge, load_feeds, replay
from crm_pipeline.lib.ingestion.leftovers import sweep_leftovers
from crm_pipeline.lib.ingestion.pending import has_files, list_pending
from crm_pipeline.lib.ledger import open_ledger
from crm_pipeline.lib.progress import say
from crm_pipeline.lib.publish import current_manifest
from crm_pipeline.lib.publish.manifest import DATABASE
from crm_pipeline.lib.pull import load_pulls
from crm_pipeline.lib.recover import ABANDONED_SECONDS, recover
from crm_pipeline.lib.reporting.summary import summarise
from crm_pipeline.lib.scoring.registry import newest_records
from crm_pipeline.lib.settings import HomeSettings, remember, resolve

CHANNELS = Path(__file__).parent / "defs" / "channels"
PROJECT_SEEDS = Path(__file__).parents[1] / "dbt_project" / "seeds"
DEFAULT_EXAMPLE = "world"
TOLD = {
    "churn": ("auc", "pr_auc", "brier", "ece", "lift_at_10pct", "days_since_last_order_auc"),
    "clv": ("spearman", "normalized_gini", "total_error_pct", "past_spend_spearman"),
}


def run_once(
    home: CrmHome,
    *,
    landing: Path | None,
    example: str | None,
    job: str,
    as_of: str | None,
    keep: bool = False,
) -> None:
    """Landing to published warehouse for one business day, then each journey's sensor once."""
    began = time.perf_counter()
    feeds = load_feeds(CHANNELS)
    settings = settle(home, feeds, landing=landing, example=example)
    say(f"home     {home.root}\nlanding  {settings.landing or home.landing}")
    news = _feeds_with_news(home, feeds, settings)
    batches = _run(home, settings, news, job=job, as_of=as_of, keep=keep)
    _tell(home, batches, time.perf_counter() - began)


def _run(
    home: CrmHome,
    settings: HomeSettings,
    news: Sequence[FeedSpec],
    *,
    job: str,
    as_of: str | None,
    keep: bool,
) -> dict[str, str]:
    import dagster as dg  # seconds to import

    from crm_pipeline.defs.jobs import JUDGED, WAREHOUSE
    from crm_pipeline.partitions import KEPT
    from crm_pipeline.resources import Deployment
    from crm_pipeline.runner import (
        evaluate_outreach_sensors,
        execute,
        open_instance,
        resolve_day,
    )

    deployment = Deployment(home=str(home.root))
    feeds = [dg.AssetKey(["feeds", feed.feed]) for feed in news]
    take_in = dg.AssetSelection.assets(*feeds) - JUDGED
    with open_instance(deployment) as instance, ExitStack() as stack:
        if feeds:
            # Both get ready on the other core while files are read; without news they may not be
            # needed.
            stack.callback(dbt_server.stop, dbt_server.start(home))
            judge.start(home, CHANNELS)
            stack.callback(execute, instance, "judge_job")  # whatever comes of the build
            execute(instance, "take_in_job", only=take_in)
        day = resolve_day(deployment, as_of)
        if is_up_to_date(home, settings, date.fromisoformat(day)) and job == "nightly":
            say(f"\nNothing new since the build of {day}: no file, rule, consent or code changed.")
        else:
            _import_ahead("crm_pipeline.lib.scoring.scores")
            # What has landed is in already; the schedule's runs look for themselves.
            tags = KEPT if keep else None
            execute(instance, f"{job}_job", partition_key=day, tags=tags, only=WAREHOUSE)
            _tell_if_past(home, date.fromisoformat(day), is_kept=keep)
        return evaluate_outreach_sensors(instance, deployment)


def run_ticks(home: CrmHome, trigger: str | None) -> bool:
    """What has landed, then each trigger's sensor once, then the journeys'; false when one failed.

    The warehouse and the published build stay those of the last night.
    """
    from crm_pipeline.lib.outreach.ticks import ENTITIES

    if trigger not in (None, *ENTITIES):
        raise ConfigError(
            f"no trigger is called {trigger!r}", remedy=f"use one of: {', '.join(ENTITIES)}"
        )
    import dagster as dg  # seconds to import

    from crm_pipeline.defs.jobs import JUDGED
    from crm_pipeline.resources import Deployment
    from crm_pipeline.runner import (
        evaluate_outreach_sensors,
        evaluate_trigger_sensors,
        execute,
        open_instance,
    )

    deployment = Deployment(home=str(home.root))
    feeds = load_feeds(CHANNELS)
    news = [
        dg.AssetKey(["feeds", feed.feed])
        for feed in _feeds_with_news(home, feeds, deployment.settings)
    ]
    with open_instance(deployment) as instance:
        if news:
            execute(instance, "take_in_job", only=dg.AssetSelection.assets(*news) - JUDGED)
        told = evaluate_trigger_sensors(instance, deployment, trigger)
        batches = evaluate_outreach_sensors(instance, deployment)
    for name, outcome in (*told.items(), *batches.items()):
        print(f"  {name}: {outcome}")
    return not any(outcome.startswith("failed") for outcome in told.values())


def _import_ahead(module: str) -> None:
    """Imports what takes seconds while this process waits for dbt."""
    threading.Thread(target=importlib.import_module, args=(module,), daemon=True).start()


def _tell_if_past(home: CrmHome, day: date, *, is_kept: bool) -> None:
    manifest = current_manifest(home)
    if manifest is None or manifest.as_of <= day:
        return
    say(f"\n{day} lies before the published {manifest.as_of}: it was built aside, NOT published.")
    if is_kept:
        say(f"Its build is kept for reading: {home.past / day.isoformat() / DATABASE}")
    else:
        say("Add --keep to read its build. To publish earlier days again, use another home.")


def settle(
    home: CrmHome, feeds: Sequence[FeedSpec], *, landing: Path | None, example: str | None
) -> HomeSettings:
    """Finds out what this home is, or remembers what it was told, and exports it to children."""
    if landing and example:
        raise ConfigError("landing and example exclude each other", remedy="give one of them")
    if not landing and not example and not home.settings.exists() and not _any_in(home, feeds):
        example = DEFAULT_EXAMPLE
    if example and not is_made(example):
        landing = prepare_example(example)
    arguments = {
        "CRM_LANDING": str(landing.resolve()) if landing else None,
        "CRM_EXAMPLE": example,
    }
    folder = landing or home.landing
    with_files = [
        (feed.timezone, feed.currency.value if feed.currency else None)
        for feed in feeds
        if has_files(feed, folder)
    ]
    settings = resolve(home, env=os.environ, feeds_with_files=with_files, arguments=arguments)
    remember(home, settings)
    # After it is remembered: a maker that was stopped goes on with the next command.
    if settings.example and is_made(settings.example) and current_manifest(home) is None:
        make_example(settings.example, home.root)
    return settings


def is_up_to_date(home: CrmHome, settings: HomeSettings, as_of: date) -> bool:
    """True when the published build was made from exactly today's inputs."""
    manifest = current_manifest(home)
    if manifest is None or manifest.as_of != as_of:
        return False
    wanted = fingerprint_ledger(open_ledger(home), settings, as_of)
    return manifest.versions.get("fingerprint") == wanted


def replay_feeds(home: CrmHome, feed: str | None) -> None:
    """Reads kept raw files again with today's mapping; the next run picks the new parts up."""
    from crm_pipeline.resources import Deployment  # Dagster, seconds to import

    feeds = {spec.feed: spec for spec in load_feeds(CHANNELS)}
    if feed is not None and feed not in feeds:
        raise ConfigError(f"no feed is called {feed!r}", remedy=f"use one of: {', '.join(feeds)}")
    deployment = Deployment(home=str(home.root))
    for spec in [feeds[feed]] if feed else feeds.values():
        report = replay(home, deployment.ledger, spec, post_consents=deployment.post_consents)
        print(
            f"{spec.feed}: {len(report.files)} files read again, {report.written:,} records taken, "
            f"{report.quarantined:,} quarantined, {len(report.refused)} files refused"
        )


def pull_sources(home: CrmHome, source: str | None) -> None:
    """Runs the job of every pull source; one that fails does not stop the others."""
    names = [spec.source for spec, _ in load_pulls(CHANNELS)]
    if source is not None and source not in names:
        raise ConfigError(
            f"no pull source is called {source!r}",
            remedy=f"use one of: {', '.join(names)}" if names else "see docs/pull_sources.md",
        )
    if not names:
        say("no pull source is declared (see docs/pull_sources.md)")
        return
    from crm_pipeline.resources import Deployment  # Dagster, seconds to import
    from crm_pipeline.runner import RunFailedError, execute, open_instance

    failed: list[str] = []
    with open_instance(Deployment(home=str(home.root))) as instance:
        for name in [source] if source else names:
            try:
                execute(instance, f"{name}_pull_job")
            except RunFailedError as error:
                failed.append(name)
                say(str(error))
    if failed:
        raise PullError(
            f"{len(failed)} of {len(names)} sources could not be pulled: {', '.join(failed)}",
            remedy="read what is said above; the others' files have landed",
        )


def report_legacy(home: CrmHome) -> bool:
    """Writes the reconciliation of every legacy feed; false when one does not match its source."""
    from crm_pipeline.lib.legacy import reconcile_feed, write_report

    feeds = load_feeds(CHANNELS)
    channels = {feed.channel for feed in feeds if feed.entity == "legacy_customers"}
    settings, is_matching = resolve(home, env=os.environ), True
    for feed in feeds:
        if feed.channel in channels:
            landing = settings.landing or home.landing
            found = reconcile_feed(home, open_ledger(home), feed, landing)
            print(write_report(home, found).read_text(encoding="utf-8"))
            is_matching &= found.matches
    if not channels:
        say("no feed delivers legacy_customers")
    else:
        print(f"reports and reject files: {home.reports / 'legacy'}")
    return is_matching


def recover_home(home: CrmHome) -> None:
    """Clears what a crash left behind, and says what it was."""
    now = time.time()
    left_at_the_door = sweep_leftovers(home, older_than_seconds=ABANDONED_SECONDS, now=now)
    found = recover(home, open_ledger(home), now=now)
    if found.is_clean and not left_at_the_door:
        print("nothing was left behind")
        return
    print(f"temporary files removed: {found.temporary_files + left_at_the_door}")
    print(f"unfinished builds removed: {', '.join(found.unfinished_builds) or 'none'}")
    print(f"scratch warehouses removed: {', '.join(found.scratch_files) or 'none'}")
    for batch in found.unfinished_batches:
        print(f"batch {batch} was claimed but not written: crm batch release ends it")


def _feeds_with_news(
    home: CrmHome, feeds: Sequence[FeedSpec], settings: HomeSettings
) -> list[FeedSpec]:
    ledger, folder = open_ledger(home), settings.landing or home.landing
    return [feed for feed in feeds if list_pending(ledger, feed, folder)]


def _any_in(home: CrmHome, feeds: Sequence[FeedSpec]) -> bool:
    return any(has_files(feed, home.landing) for feed in feeds)


def _tell(home: CrmHome, batches: dict[str, str], seconds: float) -> None:
    manifest = current_manifest(home)
    if manifest is None:
        return
    figures = {
        name: {key: record.backtest[key] for key in TOLD.get(name, ()) if key in record.backtest}
        for name, record in newest_records(home).items()
    }
    print(f"\nBuild {manifest.build_id}, as of {manifest.as_of}")
    print(summarise(home.published / "current", figures))
    for journey, outcome in batches.items():
        print(f"  {journey}: {outcome}")
    print(
        f"\nWarehouse for BI  {home.published / 'current' / 'crm.duckdb'} (and Parquet beside it)"
        f"\nBatches           {home.outbox}"
        f"\nData Docs         {home.data_docs}"
        f"\nUI                make ui, then http://127.0.0.1:3000"
        f"\n{seconds:.0f} s"
    )
