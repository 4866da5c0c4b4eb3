"""The operators' console script ``crm``.

Add here: commands, their options and what they print.
Not here: the work (``runner.py`` and ``lib``).

Imports that need seconds are made inside the command that needs them.
"""

from __future__ import annotations

import gc
import os
import sys
from datetime import datetime
from pathlib import Path

import click

from crm_pipeline.audience_command import audience
from crm_pipeline.batch_command import batch, outreach
from crm_pipeline.explain_command import explain
from crm_pipeline.home_option import PROJECT, home_option, open_home
from crm_pipeline.identity_command import identity
from crm_pipeline.lib.errors import CrmError
from crm_pipeline.rules_command import rules

DEFAULT_EXAMPLE = "world"


class _Commands(click.Group):
    """Prints what a user is meant to read instead of a traceback."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except CrmError as error:
            click.echo(f"\n{type(error).__name__}: {error}", err=True)
            sys.exit(1)


# New objects until garbage is looked for. With Python's own 700 that is a tenth of loading the
# definitions, where nothing is thrown away.
GARBAGE_OBJECTS = 50_000


@click.group(cls=_Commands)
@click.version_option(package_name="crm_pipeline")
def main() -> None:
    """Customer data platform: channel files in, one customer in the middle, proven outreach out."""
    gc.set_threshold(GARBAGE_OBJECTS)


@main.command()
@home_option
@click.option("--landing", type=click.Path(path_type=Path), help="Landing folder, read in place.")
@click.option("--example", help=f"An example of this checkout [default: {DEFAULT_EXAMPLE}].")
@click.option("--job", type=click.Choice(["nightly", "monthly"]), default="nightly")
@click.option(
    "--as-of",
    type=click.DateTime(formats=["%Y-%m-%d"]),
    help="Business day to build, YYYY-MM-DD; default: the home's rule.",
)
@click.option(
    "--keep",
    is_flag=True,
    help="With --as-of a day before the published one: keep its build in past/<day> for reading.",
)
def run(
    home: Path,
    landing: Path | None,
    example: str | None,
    job: str,
    as_of: datetime | None,
    keep: bool,
) -> None:
    """Landing to published warehouse for one business day, then the outreach sensors."""
    from crm_pipeline.run_command import run_once

    day = as_of.date().isoformat() if as_of else None
    if keep and day is None:
        raise click.UsageError("--keep needs --as-of, the past day to keep")
    run_once(open_home(home), landing=landing, example=example, job=job, as_of=day, keep=keep)


@main.command()
@home_option
@click.option("--trigger", help="Only this one, for example cart [default: every trigger].")
def tick(home: Path, trigger: str | None) -> None:
    """Between the nights: takes in what has landed and decides the journeys it triggers."""
    from crm_pipeline.run_command import run_ticks

    sys.exit(0 if run_ticks(open_home(home), trigger) else 1)


@main.command()
@home_option
@click.option("--port", type=int, default=3000, show_default=True)
@click.option("--read-only", is_flag=True, help="A viewer that can launch nothing.")
def ui(home: Path, port: int, read_only: bool) -> None:
    """The Dagster UI of a home, on this machine only."""
    opened = open_home(home)
    command = ["dagster-webserver", "--read-only"] if read_only else ["dagster", "dev"]
    command += ["-w", str(PROJECT / "workspace.yaml"), "-h", "127.0.0.1", "-p", str(port)]
    click.echo(f"home {opened.root}\nUI   http://127.0.0.1:{port}  (Ctrl-C ends it)")
    executable = Path(sys.executable).with_name(command[0])
    os.chdir(PROJECT)
    os.execv(executable, command)


@main.command()
def check() -> None:
    """Rule tables, YAML files, classes of columns, dbt and all definitions; touches no data."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        home = open_home(Path(folder))
        from crm_pipeline.lib.privacy import check_columns

        check_columns(PROJECT / "dbt_project" / "models")
        from crm_pipeline.lib.outreach.content import check_coverage, load_content
        from crm_pipeline.lib.outreach.journey import load_journeys

        journeys = load_journeys(PROJECT / "crm_pipeline" / "defs")
        check_coverage(load_content(PROJECT / "dbt_project" / "seeds"), journeys)
        from crm_pipeline.definitions import defs

        definitions = defs()
        dg_assets = definitions.resolve_asset_graph().get_all_asset_keys()
        for job in definitions.resolve_all_job_defs():
            definitions.resolve_job_def(job.name)
        click.echo(f"ok: {len(dg_assets)} assets load ({home.root.name})")


@main.command()
@home_option
@click.option("--source", help="Only this source [default: every declared one].")
def pull(home: Path, source: str | None) -> None:
    """Asks web interfaces and databases for what is new; the next run takes the files in."""
    from crm_pipeline.run_command import pull_sources

    pull_sources(open_home(home), source)


@main.command("legacy-report")
@home_option
def legacy_report(home: Path) -> None:
    """Counts, money and keys of a legacy import against its source; rejects in files."""
    from crm_pipeline.run_command import report_legacy

    sys.exit(0 if report_legacy(open_home(home)) else 1)


@main.command()
@home_option
@click.option("--feed", help="Only this feed [default: every feed with quarantined records].")
@click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Decides and plans the outreach of that night again, and compares; changes nothing.",
)
def replay(home: Path, feed: str | None, as_of: datetime | None) -> None:
    """Puts kept raw files through today's mapping again; with --as-of decides a night again."""
    if feed and as_of:
        raise click.UsageError("--feed and --as-of exclude each other")
    if as_of is not None:
        from crm_pipeline.replay_command import replay_night

        sys.exit(0 if replay_night(open_home(home), as_of.date()) else 1)
    from crm_pipeline.run_command import replay_feeds

    replay_feeds(open_home(home), feed)


@main.command()
@home_option
def recover(home: Path) -> None:
    """Clears what a crash left behind; safe at any time."""
    from crm_pipeline.run_command import recover_home

    recover_home(open_home(home))


@main.command()
@home_option
@click.option(
    "--as-of",
    type=click.DateTime(formats=["%Y-%m-%d"]),
    help="Day of a published build that is kept; default: the current one.",
)
def report(home: Path, as_of: datetime | None) -> None:
    """The report about customer tiers, as HTML in Chinese and English, from what is published."""
    from crm_pipeline.lib.reporting.write_report import find_build, write_reports

    opened = open_home(home)
    build = find_build(opened, as_of.date() if as_of else None)
    for path in write_reports(opened, build.build_dir, PROJECT / "dbt_project" / "seeds"):
        click.echo(path)


main.add_command(audience)
main.add_command(explain)
main.add_command(identity)
main.add_command(rules)
main.add_command(batch)
main.add_command(outreach)


@main.command("hash")
@home_option
def result_hash(home: Path) -> None:
    """Result hash of the published build: equal hashes mean equal marts and metrics."""
    from crm_pipeline.lib.publish.result_hash import hash_published

    hashes = hash_published(open_home(home).published / "current" / "crm.duckdb")
    for table, digest in sorted(hashes.tables.items()):
        click.echo(f"{digest}  {table}")
    click.echo(f"{hashes.total}  total")


if __name__ == "__main__":
    main()
