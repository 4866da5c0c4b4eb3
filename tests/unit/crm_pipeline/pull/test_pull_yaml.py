"""What a pull source's YAML may say, and what it is told when it says something else."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.pull import load_pull, load_pulls, pulls_feeding
from crm_pipeline.lib.pull.progress import Progress
from crm_pipeline.lib.pull.spec import CursorSpec

EXAMPLE = Path(__file__).resolve().parents[4] / "examples" / "pull_sources"
NOW = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)


def documents() -> list[dict[str, Any]]:
    """The shipped example: feed and source of a web interface, feed and source of a database."""
    text = (EXAMPLE / "defs.yaml").read_text(encoding="utf-8")
    return list(yaml.safe_load_all(text))


def load(folder: Path, changes: dict[str, Any], *, place: int = 1) -> Any:
    """Loads the example with keys changed; ``a/b`` is a path, ``None`` removes."""
    said = copy.deepcopy(documents())
    for path, value in changes.items():
        *parents, last = path.split("/")
        target = said[place]["attributes"]
        for key in parents:
            target = target[key]
        if value is None:
            del target[last]
        else:
            target[last] = value
    (folder / "shop").mkdir(exist_ok=True)
    text = yaml.safe_dump_all(said, sort_keys=False, allow_unicode=True)
    (folder / "shop" / "defs.yaml").write_text(text, encoding="utf-8")
    return load_pulls(folder)


@pytest.mark.requirement("ING-7")
def test_the_example_loads_both_kinds(tmp_path: Path) -> None:
    pulls = load_pulls(EXAMPLE)
    assert [(spec.source, spec.kind, feed.feed) for spec, feed in pulls] == [
        ("example_api_orders", "rest", "example_api_orders"),
        ("example_members", "sql", "example_members"),
    ]
    assert len(load(tmp_path, {})) == 2
    assert pulls_feeding(EXAMPLE / "defs.yaml", "example_members") == ["example_members"]


@pytest.mark.requirement("ING-7")
def test_the_readme_names_what_the_yaml_needs() -> None:
    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    for word in ("EXAMPLE_API_TOKEN", "EXAMPLE_MEMBERS_URL", "crm pull", "crm_pipeline[pull]"):
        assert word in readme


@pytest.mark.requirement("ING-7")
@pytest.mark.parametrize(
    ("place", "changes", "words", "remedy"),
    [
        (1, {"sorce": "x"}, "unknown key 'sorce'", "did you mean 'source'?"),
        (1, {"rest/recods": "x"}, "unknown key 'recods'", "did you mean 'records'?"),
        (1, {"rest": None}, "either rest or sql", "exactly one"),
        (1, {"sql": {"connection": "env:X", "table": "t"}}, "either rest or sql", "exactly one"),
        (
            1,
            {"feed": "example_order"},
            "no feed of this file",
            "did you mean 'example_api_orders'?",
        ),
        (1, {"every": "hourly"}, "match pattern", '"*/30 * * * *"'),
        (1, {"rest/pagination/param": None}, "page needs param", "name the parameter"),
        (
            1,
            {"rest/pagination/kind": "offset", "rest/pagination/size": None},
            "offset needs",
            "add",
        ),
        (1, {"rest/pagination/kind": "cursor"}, "cursor needs next", "name its place"),
        (1, {"rest/auth/kind": "basic"}, "token has no meaning for basic", "remove it"),
        (1, {"rest/auth/kind": "api_key"}, "api_key needs", "add it"),
        (1, {"rest/incremental/param": None}, "parameter that carries", "add param"),
        (1, {"rest/incremental/start": "long ago"}, "no instant", "2025-01-01T00:00:00Z"),
        (1, {"rest/incremental/kind": "number"}, "whole number", "write one"),
        (1, {"rest/incremental/overlap_minutes": 0}, "greater than or equal to 1", "reaches back"),
        (1, {"rest/path": "../admin"}, "leads out", "relative path"),
        (3, {"sql/table": "a; drop table b"}, "match pattern", "table or view"),
        (3, {"sql/columns": ["member_id"]}, "needed, and not among the columns", "add them"),
        (3, {"sql/incremental/param": "since"}, "a database has no parameters", "remove param"),
        (0, {"completion": "stable"}, "does not wait for the manifest", "completion: manifest"),
        (0, {"files": "*.csv"}, "does not read files named", "*.jsonl"),
        (0, {"format": {"kind": "csv"}}, "pulled files are JSON lines", "kind: jsonl"),
        (0, {"known_at": {"file_name": r"_(\d{4})$", "format": "%Y"}}, "delivery time", "known_at"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_remedy(
    tmp_path: Path, place: int, changes: dict[str, Any], words: str, remedy: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, changes, place=place)
    told = str(caught.value)
    assert words in told
    assert remedy in told
    assert "defs.yaml:" in told


@pytest.mark.bad_input("B81")
@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://api.example.com",
        "https://",
        "orders.json",
        "http://169.254.169.254/latest",
        "https://169.254.169.254/latest",
        "http://[::ffff:169.254.169.254]/latest",
        "https://[fe80::1]/",
        "https://2852039166/",
        "https://0xa9fea9fe/",
        "https://100.100.100.200/latest",
        "https://metadata.google.internal/computeMetadata",
        "https://0.0.0.0/",
        "https://127.0.0.1:8080/",
        "https://localhost/",
        "http://api.example.com/",
        "https://api.example.com/?page=1",
        "https://api.example.com:port/",
    ],
)
def test_b81_an_address_that_is_no_source_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match=r"defs\.yaml:\d+"):
        load(tmp_path, {"rest/base_url": url})
    auth = {"kind": "client_credentials", "token_url": url, "client_id": "env:ID",
            "client_secret": "env:SECRET"}  # fmt: skip
    with pytest.raises(ConfigError, match=r"defs\.yaml:\d+"):
        load(tmp_path, {"rest/auth": auth})


@pytest.mark.bad_input("B81")
def test_b81_loopback_and_plain_http_are_said_on_purpose(tmp_path: Path) -> None:
    local = {"rest/base_url": "http://127.0.0.1:8080/", "rest/allow": ["loopback"]}
    assert len(load(tmp_path, local)) == 2
    plain = {"rest/base_url": "http://api.example.com/", "rest/allow": ["http"]}
    assert len(load(tmp_path, plain)) == 2
    meta = {"rest/base_url": "http://169.254.169.254/", "rest/allow": ["http", "loopback"]}
    with pytest.raises(ConfigError, match="belongs to the machine"):
        load(tmp_path, meta)


SECRET = "sk-live-4f9a77d1c0ffee42"


@pytest.mark.bad_input("B82")
@pytest.mark.parametrize(
    ("place", "changes"),
    [
        (1, {"rest/auth/token": SECRET}),
        (1, {"rest/auth/token": f"env:{SECRET}"}),
        (1, {"rest/auth/token": 42}),
        (1, {"rest/base_url": f"https://user:{SECRET}@api.example.com/"}),
        (1, {"rest/params": {"filter": f"token={SECRET}"}}),
        (1, {"rest/auth/password": SECRET}),
        (3, {"sql/connection": f"postgresql://till:{SECRET}@db/till"}),
    ],
)
def test_b82_a_pasted_secret_is_refused_and_not_repeated(
    tmp_path: Path, place: int, changes: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=r"defs\.yaml:\d+") as caught:
        load(tmp_path, changes, place=place)
    assert SECRET not in str(caught.value)
    assert "env:NAME" in str(caught.value)


@pytest.mark.requirement("ING-7")
def test_names_of_sources_are_unique_and_asked_for_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two pull sources are called 'example_members'"):
        load(tmp_path, {"source": "example_members"})
    with pytest.raises(ConfigError, match="no pull source is called 'x'"):
        load_pull(EXAMPLE / "defs.yaml", "x")


# ------------------------------------------------------------------------------------ the cursor


@pytest.mark.requirement("ING-7")
@pytest.mark.parametrize(
    ("start", "kind", "values", "asked"),
    [
        ("2025-01-01T00:00:00Z", "datetime", ["2026-01-02T10:00:00Z"], "2026-01-02T09:00:00Z"),
        ("2025-01-01T00:00:00+08:00", "datetime", ["2026-01-02T10:00:00Z"],
         "2026-01-02T17:00:00+08:00"),
        ("2025-01-01 00:00:00", "datetime", ["2026-01-02 10:00:00"], "2026-01-02 09:00:00"),
        ("2025-01-01", "datetime", ["2026-01-02 00:30:00"], "2026-01-01"),
        ("2025-01-01T00:00:00Z", "datetime", ["2025-01-01T00:30:00Z"], "2025-01-01T00:00:00Z"),
        (0, "epoch_s", [1767348000, "1767344400"], "1767344400"),
        (0, "epoch_ms", [1767348000000], "1767344400000"),
        (0, "number", ["7", 9, 8], "0"),
        (5000, "number", [9000], "8000"),
        (0, "epoch_s", [9999999999], str(int(NOW.timestamp()) - 3600)),
    ],
)  # fmt: skip
def test_the_next_pull_reaches_back_and_spells_the_cursor_as_the_source_does(
    start: str | int, kind: Any, values: list[Any], asked: str
) -> None:
    spec = CursorSpec(field="a.at", kind=kind, start=start, param="since")
    first = Progress(spec, "Asia/Shanghai", NOW, None)
    assert first.asked_with() == str(start)
    for value in values:
        first.see({"a": {"at": value}})
    first.see({"a": {"at": None}})
    first.see({"a": {"at": "soon"}})
    first.see({"a": 3})
    assert (first.missing, first.unreadable) == (2, 1)
    assert Progress(spec, "Asia/Shanghai", NOW, first.reached).asked_with() == asked


@pytest.mark.requirement("ING-7")
def test_a_pull_without_news_keeps_its_place() -> None:
    spec = CursorSpec(field="at", start="2025-01-01T00:00:00Z", param="since")
    assert Progress(spec, "UTC", NOW, None).reached is None
    kept = "2026-01-02T10:00:00+00:00"
    assert Progress(spec, "UTC", NOW, kept).reached == kept
