"""Report files of a home.

Add here: which build a report is made of, and where it goes.
Not here: what it says (``tier_report``).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from crm_pipeline.lib.errors import PublishError
from crm_pipeline.lib.files import atomic_path
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.publish.manifest import (
    MANIFEST,
    Manifest,
    current_manifest,
    list_builds,
    read_manifest,
)
from crm_pipeline.lib.reporting.figures import read_figures
from crm_pipeline.lib.reporting.labels import LANGUAGES, read_labels
from crm_pipeline.lib.reporting.tier_report import render_report
from crm_pipeline.lib.warehouse import open_warehouse


def find_build(home: CrmHome, as_of: dt.date | None) -> Manifest:
    """The newest build of a day, published or kept of the past; by default the current one.

    Raises:
        PublishError: nothing is published, or no build of that day is kept.
    """
    if as_of is None:
        current = current_manifest(home)
        if current is None:
            raise PublishError("nothing is published yet", remedy="run `crm run`")
        return current
    builds = list_builds(home)
    past = home.past / as_of.isoformat()
    if (past / MANIFEST).is_file():
        builds.append(read_manifest(past))
    of_the_day = [build for build in builds if build.as_of == as_of]
    if of_the_day:
        return max(of_the_day, key=lambda build: build.created_at)
    kept = ", ".join(sorted({build.as_of.isoformat() for build in builds})) or "none"
    raise PublishError(
        f"no published build as of {as_of} is kept",
        where=str(home.published),
        remedy=f"name one of these days: {kept}; or build it with `crm run --as-of {as_of} --keep`",
    )


def write_reports(home: CrmHome, build_dir: Path, seeds_dir: Path) -> list[Path]:
    """Writes the report of one published build in both languages; returns the files.

    Args:
        home: ``reports/<YYYY-MM>/`` is below it; ``<YYYY-MM-DD>`` for a day within the month.
        build_dir: folder of the build; nothing else is read.
        seeds_dir: rule tables with the names of tiers, stages and tags.
    """
    with open_warehouse(build_dir / "crm.duckdb", read_only=True) as connection:
        figures = read_figures(connection)
    labels = read_labels(seeds_dir, figures.build.ladder)
    # A look within the month never takes the place of the month's own report.
    as_of = figures.build.as_of
    folder = home.reports / f"{as_of:{'%Y-%m' if figures.build.is_month_end else '%Y-%m-%d'}}"
    written = []
    for language in LANGUAGES:
        target = folder / f"customer_tiers.{language}.html"
        text = render_report(figures, labels, language).encode()
        if not target.exists() or target.read_bytes() != text:
            with atomic_path(target) as temporary:
                temporary.write_bytes(text)
        written.append(target)
    return written
