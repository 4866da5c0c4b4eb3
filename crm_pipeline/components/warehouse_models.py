"""The dbt project as assets of one business day.

Add here: how dbt is started and what Dagster is told about a model.
Not here: rules over rows (``dbt_project/``) and what runs when (``defs/jobs.py``).
"""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource, DbtProject, DbtProjectComponent, dbt_assets
from dbt.version import __version__ as installed_dbt_version
from packaging.version import Version

from crm_pipeline.lib.dbt_manifest import PARSED, ensure_manifest, keep_parsed
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.progress import step
from crm_pipeline.partitions import ONE_DAY_A_RUN, business_days
from crm_pipeline.resources import POOL, Warehouse

# What reads no source (rule tables) waits for the opened warehouse too; otherwise Dagster would
# start dbt once more for them alone.
OPENED = dg.AssetKey(["ledger", "inbox_files"])
# Unit tests prove the code, not the night: `make test` runs them.
BUILD = ("build", "--exclude-resource-type", "unit_test")
KEPT_CALLS = 40  # folders of the latest dbt calls, ten nights, for whoever reads their logs
LAUNCHER = Path(sys.executable).with_name("crm-dbt")  # dies with its parent, see dbt_launcher


class LeanDbtCli(DbtCliResource):
    """dbt without what Dagster adds before every call: a version probe (3 s) and an adapter."""

    @property
    def _cli_version(self) -> Version:
        return Version(installed_dbt_version)

    def _initialize_dbt_core_adapter(self, args: Any) -> None:
        """Row counts are read after dbt has ended, so no second connection is ever opened."""


class WarehouseModels(DbtProjectComponent):
    """Every dbt model, seed and test, partitioned by business day and built under the lease."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Reads the project in place: no copy of it, one manifest for every process."""
        project = self.dbt_project
        ensure_manifest(Path(project.project_dir))

        @dbt_assets(
            manifest=project.manifest_path,
            dagster_dbt_translator=self.translator,
            project=project,
            name="dbt_models",
            partitions_def=business_days(),
            backfill_policy=ONE_DAY_A_RUN,
            pool=POOL,
        )
        def dbt_models(context: dg.AssetExecutionContext, warehouse: Warehouse) -> Iterator[Any]:
            yield from _build(context, warehouse, Path(project.project_dir))

        return dg.Definitions(assets=[dbt_models])

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> dg.AssetSpec:
        """Key = warehouse address; group = layer, and inside the marts the domain folder."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        properties = self.get_resource_props(manifest, unique_id)
        if properties["resource_type"] == "source":
            return spec
        return spec.replace_attributes(
            key=dg.AssetKey([properties["schema"], properties["name"]]),
            deps=list(spec.deps) or [OPENED],
            group_name=_group_of(properties),
            owners=["team:data"],
            kinds={"dbt", "duckdb"},
        )


def _group_of(properties: Mapping[str, Any]) -> str:
    if properties["resource_type"] == "seed":
        return "rules"
    layer, *domain = properties["fqn"][1:-1]
    return str(domain[0] if layer == "marts" and domain else layer)


def _build(
    context: dg.AssetExecutionContext, warehouse: Warehouse, project_dir: Path
) -> Iterator[Any]:
    """Runs dbt on the day's warehouse file, then reports each table with its row count."""
    as_of = context.partition_key
    # A test runs in the call that builds the last of its tables, never on those of last night.
    os.environ["DBT_INDIRECT_SELECTION"] = "buildable"
    os.environ["DBT_LOG_LEVEL_FILE"] = "info"  # its debug log costs a tenth of a short call
    os.environ["DBT_LOG_FORMAT_FILE"] = "debug"  # lines for people; as JSON they cost as much again
    os.environ["CRM_WAREHOUSE_PATH"] = str(warehouse.plan(context.run_id, as_of).path)
    os.environ.update(warehouse.dbt_settings(as_of))
    cli = LeanDbtCli(dbt_executable=str(LAUNCHER), project_dir=str(project_dir))
    events: list[Any] = []
    try:
        with (
            step(f"dbt: {len(context.selected_asset_keys)} tables and their tests"),
            target_folder(warehouse.deployment.crm_home, context.run_id) as target,
        ):
            stream = cli.cli(BUILD, context=context, target_path=target).stream()
            events.extend(stream)
    finally:
        # Also what was built before a failure is reported, so that the UI shows how far it came.
        yield from _with_row_counts(context, events, warehouse.count_rows(context.run_id, as_of))


@contextmanager
def target_folder(home: CrmHome, run_id: str) -> Iterator[Path]:
    """A folder of this call alone, so that two runs never share one.

    The parsed project is kept for the home's next call: nothing that changes from night to night
    is read while parsing, so it need not be parsed again.
    """
    folders = home.dagster / "dbt"
    target = folders / f"{run_id[:8]}-{len(list(folders.glob(f'{run_id[:8]}-*'))) + 1}"
    target.mkdir(parents=True)
    if (folders / PARSED).exists():
        shutil.copy(folders / PARSED, target / PARSED)
    yield target
    keep_parsed(target, folders)
    (target / PARSED).unlink(missing_ok=True)
    calls = sorted(folders.glob("*-*/"), key=lambda folder: folder.stat().st_mtime_ns)
    for folder in calls[:-KEPT_CALLS]:
        shutil.rmtree(folder, ignore_errors=True)


def _with_row_counts(
    context: dg.AssetExecutionContext, events: list[Any], counts: Mapping[str, int]
) -> Iterator[Any]:
    for event in events:
        if isinstance(event, dg.Output):
            key = context.asset_key_for_output(event.output_name)
            rows = counts.get(".".join(key.path))
            if rows is not None:
                event = event.with_metadata({**event.metadata, "dagster/row_count": rows})
        yield event
