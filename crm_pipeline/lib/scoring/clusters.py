"""Clusters of one day: what a month decides, and who is where tonight.

Add here: from a feature frame and what is on record to assignments.
Not here: maths (``ml.clusters``), reading or writing the warehouse (``defs/scoring``).

A month end fits anew. What it decided is history: the fit with its verdict (``cluster_fits``) and
every customer's cluster (``customer_clusters``). Until the next month the model in force, the last
one that was let in, assigns; its version is kept in ``models/clusters/``.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

from crm_pipeline.lib.history import active_slices, find_slice, read_slice, write_slice
from crm_pipeline.lib.home import CrmHome
from ml.artifacts import read_artifact, write_artifact
from ml.clusters import (
    CLUSTER_FEATURES,
    CLUSTER_MODEL_KIND,
    ClusterConfig,
    ClusterModel,
    adjusted_rand_index,
    judge_stability,
)
from ml.errors import MlError

CODE_VERSION = "1"  # raise it when fitting changes its result on equal data
FITS, ASSIGNED = "cluster_fits", "customer_clusters"
COLUMNS = ["customer_id", "cluster_number", "cluster_name", "distance"]

FIT_SCHEMA = pa.schema(
    [
        ("as_of_date", pa.date32()),
        ("fitted_version", pa.string()),  # null: nothing could be fitted
        ("cluster_count", pa.int64()),
        ("customer_count", pa.int64()),
        ("common_customer_count", pa.int64()),
        ("adjusted_rand_index", pa.float64()),
        # The new fit against the model in force on this month's data: what of the difference is
        # the model's, and not people who moved.
        ("same_data_rand_index", pa.float64()),
        ("is_first", pa.bool_()),
        ("is_published", pa.bool_()),
        ("reason", pa.string()),
        ("version_in_force", pa.string()),  # null: no month has been let in yet
        ("fitted_as_of_date", pa.date32()),  # of the version in force
    ]
)
ASSIGNED_SCHEMA = pa.schema(
    [
        ("as_of_date", pa.date32()),
        ("customer_id", pa.string()),
        ("cluster_number", pa.int64()),
        ("cluster_name", pa.string()),
        ("model_version", pa.string()),
    ]
)


@dataclass(frozen=True)
class ClusterDay:
    """Who is in which cluster, and the last month's decision that says so (None before any)."""

    rows: pd.DataFrame
    decision: dict[str, Any] | None
    note: str | None = None


def decide_month(
    home: CrmHome,
    ledger: sa.Engine,
    features: pd.DataFrame,
    as_of: dt.date,
    config: ClusterConfig | None = None,
) -> dict[str, Any]:
    """Fits the month that ended at ``as_of`` and puts on record whether it is let in.

    It is let in when it groups the customers of both months as last month did, and when it is the
    first. Otherwise last month's model stays in force and assigns this month's customers.
    """
    config = config or ClusterConfig()
    before = last_decision(home, ledger, before=as_of)
    decision: dict[str, Any] = dict.fromkeys(FIT_SCHEMA.names)
    in_force = before or {}
    decision |= {
        "as_of_date": as_of,
        "customer_count": len(features),
        "is_first": in_force.get("version_in_force") is None,
        "is_published": False,
        "version_in_force": in_force.get("version_in_force"),
        "fitted_as_of_date": in_force.get("fitted_as_of_date"),
    }
    try:
        model = ClusterModel(config).fit(features)
    except MlError as error:
        decision["reason"] = error.what
    else:
        artifact = model.to_artifact(code_version=CODE_VERSION)
        write_artifact(artifact, home.models / "clusters" / artifact.version)
        decision |= {
            "fitted_version": artifact.version,
            "cluster_count": len(model.names),
            **_verdict(home, ledger, model, features, as_of, before, config),
        }
        if decision["is_published"]:
            decision |= {"version_in_force": artifact.version, "fitted_as_of_date": as_of}
    _record(home, ledger, features, decision)
    return decision


def assign_day(
    home: CrmHome, ledger: sa.Engine, features: pd.DataFrame, as_of: dt.date
) -> ClusterDay:
    """The cluster of every customer by the model in force at ``as_of``."""
    decision = last_decision(home, ledger, before=as_of + dt.timedelta(days=1))
    nobody = pd.DataFrame(columns=[*COLUMNS, "model_version", "fitted_as_of_date"])
    if decision is None:
        return ClusterDay(nobody, None, "no month end has been fitted yet: the monthly job does it")
    version = decision["version_in_force"]
    if version is None:
        return ClusterDay(nobody, decision, decision["reason"])
    try:
        rows = _read_model(home, version).predict(features)[COLUMNS]
    except MlError as error:
        return ClusterDay(nobody, decision, str(error))
    fitted = decision["fitted_as_of_date"]
    return ClusterDay(rows.assign(model_version=version, fitted_as_of_date=fitted), decision)


def is_on_record(home: CrmHome, ledger: sa.Engine, as_of: dt.date) -> bool:
    """Whether a month end has been decided."""
    with ledger.connect() as connection:
        return find_slice(home, connection, FITS, as_of) is not None


def last_decision(home: CrmHome, ledger: sa.Engine, *, before: dt.date) -> dict[str, Any] | None:
    """What the last month end earlier than ``before`` decided."""
    with ledger.connect() as connection:
        earlier = [one for one in active_slices(home, connection, FITS) if one.as_of_date < before]
    if not earlier:
        return None
    (decision,) = read_slice(earlier[-1]).to_pylist()
    found: dict[str, Any] = decision
    return found


def _verdict(
    home: CrmHome,
    ledger: sa.Engine,
    model: ClusterModel,
    features: pd.DataFrame,
    as_of: dt.date,
    before: dict[str, Any] | None,
    config: ClusterConfig,
) -> dict[str, Any]:
    if before is None or before["version_in_force"] is None:
        return {"is_published": True, "reason": "the first month: there is none to compare with"}
    with ledger.connect() as connection:
        slices = active_slices(home, connection, ASSIGNED)
    earlier = [one for one in slices if one.as_of_date < as_of]
    known = read_slice(earlier[-1]).to_pandas() if earlier else pd.DataFrame(columns=COLUMNS)
    found = model.predict(features)
    judged = judge_stability(known, found, config)
    in_force = _find_model(home, before["version_in_force"])
    return {
        "same_data_rand_index": (
            adjusted_rand_index(in_force.predict(features), found)[0] if in_force else None
        ),
        "common_customer_count": judged.common_customers,
        "adjusted_rand_index": judged.index,
        "is_published": judged.is_stable,
        "reason": judged.reason,
    }


def _record(
    home: CrmHome, ledger: sa.Engine, features: pd.DataFrame, decision: dict[str, Any]
) -> None:
    """Assignments first: a decision never points to assignments that are not there."""
    as_of, version = decision["as_of_date"], decision["version_in_force"]
    model = _find_model(home, version) if version else None
    if model is not None:
        rows = model.predict(features).sort_values("customer_id")
        rows = rows.assign(as_of_date=as_of, model_version=version)
        assigned = pa.Table.from_pandas(rows, ASSIGNED_SCHEMA, preserve_index=False)
        _write(home, ledger, ASSIGNED, as_of, assigned)
    _write(home, ledger, FITS, as_of, pa.Table.from_pylist([decision], FIT_SCHEMA))


def _write(home: CrmHome, ledger: sa.Engine, name: str, as_of: dt.date, data: pa.Table) -> None:
    write_slice(home, ledger, table_name=name, as_of=as_of, data=data, reason="monthly job")


def _find_model(home: CrmHome, version: str) -> ClusterModel | None:
    """A model that was lost assigns nobody, and stops no month from being decided."""
    try:
        return _read_model(home, version)
    except MlError:
        return None


def _read_model(home: CrmHome, version: str) -> ClusterModel:
    folder = home.models / "clusters" / version
    artifact = read_artifact(folder, kind=CLUSTER_MODEL_KIND, features=CLUSTER_FEATURES)
    return ClusterModel.from_artifact(artifact)
