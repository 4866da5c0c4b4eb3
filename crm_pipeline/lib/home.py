"""Where everything of one deployment lives.

Add here: paths below ``CRM_HOME``.
Not here: what the files mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crm_pipeline.lib.errors import ConfigError

PRIVATE = 0o700


@dataclass(frozen=True)
class CrmHome:
    """One absolute root for all data of a deployment (``architecture``: "Where state lives")."""

    root: Path

    def __post_init__(self) -> None:
        if not self.root.is_absolute():
            raise ConfigError(
                f"CRM_HOME must be an absolute path, not {str(self.root)!r}",
                remedy="set CRM_HOME to a full path, for example CRM_HOME=$PWD/data",
            )

    @property
    def landing(self) -> Path:
        return self.root / "landing"

    @property
    def raw(self) -> Path:
        return self.root / "raw"

    @property
    def conformed(self) -> Path:
        return self.root / "conformed"

    @property
    def quarantine(self) -> Path:
        return self.root / "quarantine"

    @property
    def warehouse_dir(self) -> Path:
        return self.root / "warehouse"

    @property
    def warehouse(self) -> Path:
        return self.warehouse_dir / "crm.duckdb"

    @property
    def history(self) -> Path:
        return self.root / "history"

    @property
    def ledger_dir(self) -> Path:
        return self.root / "ledger"

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    @property
    def published(self) -> Path:
        return self.root / "published"

    @property
    def past(self) -> Path:
        """Builds of past days that somebody asked for; never current, replaced when asked again."""
        return self.root / "past"

    @property
    def outbox(self) -> Path:
        return self.root / "outbox"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def data_docs(self) -> Path:
        return self.root / "data_docs"

    @property
    def pull(self) -> Path:
        """How far each pull source has been read; losing it costs time, never records."""
        return self.root / "pull"

    @property
    def dagster(self) -> Path:
        return self.root / "dagster"

    @property
    def settings(self) -> Path:
        return self.root / "settings.env"

    def ensure(self) -> CrmHome:
        """Creates the folders; those with clear identifiers are readable by the owner alone."""
        self.root.mkdir(parents=True, exist_ok=True)
        private = (
            self.raw,
            self.conformed,
            self.quarantine,
            self.ledger_dir,
            self.outbox,
            self.pull,
        )
        open_to_all = (
            self.warehouse_dir,
            self.history,
            self.snapshots,
            self.published,
            self.past,
            self.reports,
            self.models,
            self.data_docs,
            self.dagster,
        )
        for folder in (*private, *open_to_all):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in private:
            folder.chmod(PRIVATE)
        return self
