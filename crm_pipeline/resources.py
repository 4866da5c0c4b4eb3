"""What assets are handed.

Add here: ``ConfigurableResource`` classes, thin shells over ``lib``.
Not here: which value a deployment gives them (``defs/resources.py``).
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow as pa
import sqlalchemy as sa
from pydantic import PrivateAttr

from crm_pipeline import dbt_server
from crm_pipeline.lib.clock import wall_clock
from crm_pipeline.lib.consent import post_consents, post_opt_outs
from crm_pipeline.lib.dbt_manifest import digest_project
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger import open_ledger, open_vault
from crm_pipeline.lib.outreach.receipts import settle_receipts
from crm_pipeline.lib.run_locks import hold_run_lock
from crm_pipeline.lib.settings import HomeSettings, remember, resolve
from crm_pipeline.lib.warehouse import hold_lease, open_warehouse
from crm_pipeline.lib.warehouse.plan import BuildPlan, plan_build

DBT_PROJECT = Path(__file__).resolve().parents[1] / "dbt_project"
POOL = "warehouse"  # shared by every asset that writes the warehouse file


def dbt_environment(settings: HomeSettings) -> dict[str, str]:
    """What every dbt call of a home is told by environment, but for the day."""
    offset = settings.utc_offset_minutes
    return {
        "CRM_DBT_BUSINESS_TIMEZONE": settings.timezone,
        "CRM_DBT_UTC_OFFSET_MINUTES": "" if offset is None else str(offset),
        "CRM_DBT_REPORTING_CURRENCY": settings.currency,
        # A table that is stepped from night to night is made anew when any model has changed.
        "CRM_DBT_CODE": digest_project(DBT_PROJECT),
    }


class Clock(dg.ConfigurableResource):
    """The wall clock of deliveries and inbox rows; models only know their ``as_of``."""

    frozen_at: str | None = None

    def now(self) -> datetime:
        """The current instant, UTC without a zone, as every stored instant."""
        if self.frozen_at:
            return datetime.fromisoformat(self.frozen_at)
        return wall_clock(os.environ)


class Deployment(dg.ConfigurableResource):
    """One ``CRM_HOME``: its folders, remembered settings, keys, ledger and vault."""

    home: str
    _opened: dict[str, Any] = PrivateAttr(default_factory=dict)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Deployment"]:
        """Shows the run as alive while it lasts, so that a dead one can be told from a slow one."""
        with ExitStack() as stack:
            if context.run is not None:
                stack.enter_context(hold_run_lock(self.crm_home, context.run.run_id))
            yield self

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._opened:
            self._opened[name] = make()
        return self._opened[name]

    @property
    def crm_home(self) -> CrmHome:
        """The home's folders, made when they are absent."""
        home: CrmHome = self._once("home", lambda: CrmHome(Path(self.home)).ensure())
        return home

    @property
    def settings(self) -> HomeSettings:
        """What the home remembers, checked against the environment."""
        settings: HomeSettings = self._once("settings", self._settle)
        return settings

    def _settle(self) -> HomeSettings:
        """A home started by UI or schedule remembers its settings like any other."""
        settings = resolve(self.crm_home, env=os.environ)
        remember(self.crm_home, settings)
        return settings

    @property
    def ledger(self) -> sa.Engine:
        """The ledger, opened once per process."""
        ledger: sa.Engine = self._once("ledger", lambda: open_ledger(self.crm_home))
        return ledger

    @property
    def vault(self) -> sa.Engine:
        """The identifier vault, opened once per process."""
        vault: sa.Engine = self._once("vault", lambda: open_vault(self.crm_home))
        return vault

    @property
    def landing(self) -> Path:
        """Where channel files arrive; read, never changed."""
        return self.settings.landing or self.crm_home.landing

    def post_consents(self, table: pa.Table, *, feed: str, file_sha256: str) -> None:
        """Books consent events in the ledger, keyed by contact token; of receipts the opt-outs,
        before what they prove about messages.
        """
        key = self.settings.keys.token_key
        said: dict[str, Any] = {"key": key, "feed": feed, "file_sha256": file_sha256}
        if "receipt_kind" in table.column_names:
            post_opt_outs(self.ledger, table, **said)
            settle_receipts(self.ledger, table)
        else:
            post_consents(self.ledger, self.vault, table, **said)


class Warehouse(dg.ConfigurableResource):
    """The warehouse file of one home; a run that touches it holds the only lease until it ends."""

    deployment: dg.ResourceDependency[Deployment]
    lease_seconds: float = 7200
    _stack: ExitStack = PrivateAttr(default_factory=ExitStack)
    _plans: dict[str, BuildPlan] = PrivateAttr(default_factory=dict)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Warehouse"]:
        """Frees the lease and drops a scratch file when the run ends, however it ends."""
        with ExitStack() as stack:
            self._stack, self._plans = stack, {}
            yield self

    def plan(self, run_id: str, as_of: str) -> BuildPlan:
        """Takes the lease (once per run) and tells which file this run builds in."""
        if as_of not in self._plans:
            home = self.deployment.crm_home
            self._stack.enter_context(
                hold_lease(home, holder=f"run {run_id}", wait_seconds=self.lease_seconds)
            )
            plan = plan_build(home, date.fromisoformat(as_of), run_id=run_id)
            self._stack.callback(plan.discard)
            self._stack.callback(dbt_server.stop, dbt_server.start(home))
            self._plans[as_of] = plan
        return self._plans[as_of]

    @contextmanager
    def connect(self, run_id: str, as_of: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-write connection, closed before any dbt step may start."""
        with open_warehouse(self.plan(run_id, as_of).path) as connection:
            yield connection

    def dbt_settings(self, as_of: str) -> dict[str, str]:
        """What every dbt call is told by environment: other ``--vars`` would parse it all anew."""
        day = date.fromisoformat(as_of).isoformat()
        return {"CRM_DBT_AS_OF_DATE": day, **dbt_environment(self.deployment.settings)}

    def count_rows(self, run_id: str, as_of: str) -> dict[str, int]:
        """``schema.table`` → exact number of rows, from the file's own statistics."""
        path = self.plan(run_id, as_of).path
        if not path.exists():
            return {}
        with open_warehouse(path, read_only=True) as connection:
            tables = connection.execute(
                "select schema_name, table_name from duckdb_tables() "
                "where database_name = current_database()"
            ).fetchall()
            return {
                f"{schema}.{table}": connection.execute(
                    f'select count(*) from "{schema}"."{table}"'
                ).fetchall()[0][0]
                for schema, table in tables
            }
