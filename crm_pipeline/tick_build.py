"""The audiences of a trigger, built by one call of dbt in a copy of the warehouse.

Add here: which models a trigger's run builds, and how their failure is told apart.
Not here: the nightly build (``components/warehouse_models.py``), deciding (``lib/outreach``).
"""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from crm_pipeline.dbt_launcher import ADDRESS, SERVED
from crm_pipeline.lib.dbt_manifest import PROJECT, ensure_manifest
from crm_pipeline.lib.errors import OutreachError
from crm_pipeline.lib.outreach.journey import JourneySpec

# Models with this tag (dbt_project.yml) are those of the last night: tiers, scores, tags and what
# is made for reading. They look back over months, and a few hours change nothing a message needs.
# A test with it holds only after identity has seen every account, so no trigger asks it.
NIGHT_ONLY = "night_only"
ENGINE = "outreach_"  # models of activation that every decision reads
GOOD = ("success", "pass", "warn")
SKIPPED = "skipped"
RESULTS = "run_results.json"


def build_audiences(
    copy: Path,
    as_of: dt.date,
    journeys: Sequence[JourneySpec],
    *,
    settings: Mapping[str, str],
    target: Path,
) -> dict[str, str]:
    """Runs dbt once for the audiences of ``journeys``; returns those that failed, and why.

    Rule tables stay those of the last night: a changed rule counts from the next one.

    Args:
        copy: the copied warehouse; nothing else is written.
        as_of: today's business date.
        journeys: whose audiences.
        settings: what dbt is told by environment beside path and day.
        target: a folder of this call alone.

    Raises:
        OutreachError: nothing could be built, or what every decision reads could not.
    """
    manifest = json.loads(ensure_manifest(PROJECT).read_text(encoding="utf-8"))
    models = list_models(manifest, [spec.audience for spec in journeys])
    environment = {
        name: value for name, value in os.environ.items() if name not in (ADDRESS, SERVED)
    }
    environment |= {
        **settings,
        "CRM_DBT_AS_OF_DATE": as_of.isoformat(),
        "CRM_WAREHOUSE_PATH": str(copy),
        "DBT_PROFILES_DIR": str(PROJECT),
        "DBT_LOG_LEVEL_FILE": "info",
    }
    call = [sys.executable, "-m", "crm_pipeline.dbt_launcher", "build"]
    call += [
        "--select",
        *models,
        "--resource-type",
        "model",
        "test",
        "--indirect-selection",
        "buildable",
    ]
    if nightly := list_night_tests(manifest, models):
        call += ["--exclude", *nightly]
    call += ["--target-path", str(target.resolve()), "--log-path", str(target.resolve())]
    done = subprocess.run(
        call, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    return read_failures(target / RESULTS, manifest, journeys, done.stdout[-2000:])


def list_models(manifest: Mapping[str, Any], audiences: Iterable[str]) -> list[str]:
    """The audiences, what every decision reads, and their parents but for the night's own."""
    nodes = {
        key: node for key, node in manifest["nodes"].items() if node["resource_type"] == "model"
    }
    named = {f"{node['schema']}.{node['name']}": key for key, node in nodes.items()}
    wanted = set(audiences)
    missing = sorted(wanted - named.keys())
    if missing:
        raise OutreachError(
            f"no model is called {', '.join(missing)}",
            remedy="name the audience's model in the journey's defs.yaml",
        )
    open_keys = [
        key
        for address, key in named.items()
        if address in wanted or address.startswith(f"activation.{ENGINE}")
    ]
    found: set[str] = set()
    while open_keys:
        key = open_keys.pop()
        if key in found or key not in nodes or NIGHT_ONLY in nodes[key]["tags"]:
            continue
        found.add(key)
        open_keys.extend(nodes[key]["depends_on"]["nodes"])
    return sorted(nodes[key]["name"] for key in found)


def list_night_tests(manifest: Mapping[str, Any], models: Iterable[str]) -> list[str]:
    """Tests of ``models`` that compare them with what only the night makes."""
    nodes, mine = manifest["nodes"], set(models)
    found = []
    for node in (node for node in nodes.values() if node["resource_type"] == "test"):
        parents = [nodes[key] for key in node["depends_on"]["nodes"] if key in nodes]
        if not mine & {parent["name"] for parent in parents}:
            continue
        if any(NIGHT_ONLY in each.get("tags", ()) for each in (node, *parents)):
            found.append(node["name"])
    return sorted(found)


def read_failures(
    results: Path, manifest: Mapping[str, Any], journeys: Sequence[JourneySpec], said: str
) -> dict[str, str]:
    """Which journeys' audiences are not to be used; a failing test of one counts as its failure.

    Raises:
        OutreachError: dbt did not run, or a model every decision reads has failed.
    """
    if not results.is_file():
        raise OutreachError(
            f"dbt did not run:\n{said}", where=str(results), remedy="run the nightly job first"
        )
    read = json.loads(results.read_text(encoding="utf-8"))["results"]
    bad = {
        row["unique_id"]: row["message"] or row["status"]
        for row in read
        if row["status"] not in GOOD
    }
    # What was skipped says nothing itself: the cause is named, whichever model it was in.
    causes = [row for row in read if row["status"] not in (*GOOD, SKIPPED)]
    for row in read if causes else []:
        if row["status"] == SKIPPED:
            bad[row["unique_id"]] = f"skipped: {causes[0]['unique_id']} has failed"
    for key in list(bad):
        for parent in (
            manifest["nodes"][key]["depends_on"]["nodes"] if key.startswith("test.") else ()
        ):
            bad.setdefault(parent, f"its test failed: {manifest['nodes'][key]['name']}")
    address = {
        key: f"{node['schema']}.{node['name']}"
        for key, node in manifest["nodes"].items()
        if node["resource_type"] == "model"
    }
    broken = {address[key]: why for key, why in bad.items() if key in address}
    shared = {name: why for name, why in broken.items() if name.startswith(f"activation.{ENGINE}")}
    failed = {spec.journey: broken[spec.audience] for spec in journeys if spec.audience in broken}
    if shared or len(failed) == len(journeys):
        first = min((shared or broken).items())
        raise OutreachError(
            f"{first[0]} could not be built: {first[1]}",
            where=str(results.parent),
            remedy="mend it, or run the nightly job; nothing was decided",
        )
    return failed
