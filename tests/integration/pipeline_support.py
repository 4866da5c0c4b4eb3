"""Runs the real command line in homes of its own, as a user would."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import duckdb

PROJECT = Path(__file__).resolve().parents[2]
CRM = Path(sys.executable).with_name("crm")
KEYS = {
    "CRM_TOKEN_KEY": "token-key-of-the-tests-0123456789",
    "CRM_ID_KEY": "identity-key-of-the-tests-01234",
    "CRM_HOLDOUT_SALT": "holdout-salt-of-the-tests-01234",
}
RUN_SECONDS = 900


def environment(**more: str) -> dict[str, str]:
    """The developer's environment without any setting of a home, with fixed keys."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CRM_")}
    return {**kept, **KEYS, **more}


def start(home: Path, *arguments: str | Path, **more: str) -> subprocess.Popen[str]:
    """Starts ``crm run`` without waiting."""
    return subprocess.Popen(
        [CRM, "run", "--home", home, *arguments],
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(home: Path, *arguments: str | Path, **more: str) -> str:
    """Runs ``crm run`` to its good end; returns what it printed."""
    process = start(home, *arguments, **more)
    printed, _ = process.communicate(timeout=RUN_SECONDS)
    assert process.returncode == 0, printed
    return printed


def crm(home: Path, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs another command of ``crm`` on a home."""
    return subprocess.run(
        [CRM, command, *arguments],
        env=environment(CRM_HOME=str(home)),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )


def manifest(home: Path) -> dict[str, object]:
    """The manifest of the published build."""
    text = (home / "published" / "current" / "manifest.json").read_text(encoding="utf-8")
    read: dict[str, object] = json.loads(text)
    return read


def result_hash(home: Path) -> str:
    """What ``crm hash`` says of the published build as a whole."""
    return crm(home, "hash").stdout.splitlines()[-1].split()[0]


def query(home: Path, sql: str) -> list[tuple[object, ...]]:
    """Rows from the published build."""
    path = home / "published" / "current" / "crm.duckdb"
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def write_lines(path: Path, header: list[str], lines: Iterable[list[str]]) -> None:
    """Writes a channel's CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(header)
        writer.writerows(lines)


def read_lines(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a channel's CSV file."""
    with path.open(encoding="utf-8", newline="") as source:
        header, *rows = csv.reader(source)
    return header, rows
