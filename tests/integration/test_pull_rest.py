"""Pulling from a web interface that repeats, forgets, hiccups and lies, through the real door."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crm_pipeline.lib.errors import ConfigError, PullError, WarehouseError
from crm_pipeline.lib.ingestion.landing import scan
from crm_pipeline.lib.pull import PullReport, landing_file
from crm_pipeline.lib.warehouse.lease import hold_lock
from tests.integration.pull_support import (
    FRESH,
    NOW,
    TOKEN,
    Answer,
    Api,
    Puller,
    Request,
    once,
    order,
    page_is,
    puller,
    reply,
    serving,
)

PAGINATIONS: dict[str, dict[str, Any]] = {
    "page": {"kind": "page", "param": "page", "size": 3, "size_param": "limit",
             "has_more": "data.more"},
    "page until empty": {"kind": "page", "param": "page", "size": 3, "size_param": "limit"},
    "page counted": {"kind": "page", "param": "page", "size": 3, "size_param": "limit",
                     "total": "data.total"},
    "offset": {"kind": "offset", "param": "offset", "size": 3, "size_param": "limit",
               "total": "data.total"},
    "cursor": {"kind": "cursor", "param": "cursor", "size": 3, "size_param": "limit",
               "next": "data.next"},
    "cursor and more": {"kind": "cursor", "param": "cursor", "size": 3, "size_param": "limit",
                        "next": "data.next", "has_more": "data.more"},
    "link header": {"kind": "link_header", "size": 3, "size_param": "limit"},
    "link": {"kind": "link", "next": "data.url", "size": 3, "size_param": "limit"},
}  # fmt: skip


@pytest.fixture
def api() -> Iterator[Api]:
    with serving(Api([order(number) for number in range(1, 11)])) as running:
        yield running


@pytest.mark.requirement("ING-7")
@pytest.mark.parametrize("pagination", PAGINATIONS.values(), ids=PAGINATIONS)
def test_every_page_lands_in_one_proven_file_and_passes_the_door(
    api: Api, tmp_path: Path, pagination: dict[str, Any]
) -> None:
    shop = puller(tmp_path, api, {"pagination": pagination})
    report = shop.pull()
    assert (report.records, report.findings, report.retries) == (10, (), 0)
    assert report.file_name == "api_orders_20260301T120000.jsonl"  # delivered at noon in Shanghai
    assert scan(shop.feed, shop.landing).waiting == ()
    taken = shop.ingest()
    assert (taken.received, taken.written, taken.quarantined) == (10, 10, 0)
    assert {row["order_id"] for row in shop.parts()} == {str(n) for n in range(1, 11)}
    assert sum(row["paid_amount"] for row in shop.parts()) == Decimal("56.00")


@pytest.mark.requirement("ING-7")
def test_a_second_pull_overlaps_and_the_door_knows_what_came_twice(
    api: Api, tmp_path: Path
) -> None:
    shop = puller(tmp_path, api)
    shop.pull()
    shop.ingest()
    api.records[9] = order(10, status="CLOSED") | {"updated_at": "2026-01-10T00:30:00Z"}
    api.records.append(order(11))
    second = shop.pull(now=NOW.replace(hour=5))
    since = [request.params["since"] for request in api.asked]
    assert since[0] == "2026-01-01T00:00:00Z"
    assert since[-1] == "2026-01-09T23:00:00Z", "an hour before the newest change of the first pull"
    assert second.records == 2
    shop.ingest()
    newest = shop.newest()
    assert len(newest) == 11
    assert newest["10"][1] == "cancelled"
    third = shop.pull(now=NOW.replace(hour=6))
    assert third.records == 1, "the overlap shows the newest once more"
    shop.ingest()
    assert shop.newest() == newest
    ids = [
        (row["record_id"], row["content_hash"]) for row in shop.parts() if row["order_id"] == "11"
    ]
    assert len(ids) == 2
    assert len(set(ids)) == 1, "same key, same content: a duplicate in staging"


@pytest.mark.requirement("ING-7")
def test_nothing_new_leaves_no_file_and_the_same_bytes_are_not_landed_again(
    api: Api, tmp_path: Path
) -> None:
    shop = puller(tmp_path, api, {"incremental": None})
    shop.pull()
    assert shop.pull(now=NOW.replace(hour=5)).file_name is None
    assert len(shop.files()) == 1
    api.records.clear()
    assert shop.pull(now=NOW.replace(hour=6)).records == 0
    assert len(shop.files()) == 1
    assert list(shop.folder.glob(".tmp*")) == []


@pytest.mark.requirement("ING-7")
def test_a_lost_state_costs_time_and_no_record(api: Api, tmp_path: Path) -> None:
    shop = puller(tmp_path, api)
    shop.pull()
    shop.ingest()
    newest = shop.newest()
    for damage in ("", "{", '{"cursor": 3}'):
        (shop.home.pull / "api_orders.json").write_text(damage)
        shop.pull(now=NOW.replace(hour=5))
        assert api.asked[-1].params["since"] == "2026-01-01T00:00:00Z"
    shop.ingest()
    assert shop.newest() == newest


@pytest.mark.requirement("ING-7")
def test_one_record_from_the_future_does_not_hide_what_changes_until_then(
    api: Api, tmp_path: Path
) -> None:
    api.records.append(order(11) | {"updated_at": "2099-01-01T00:00:00Z"})
    shop = puller(tmp_path, api)
    shop.pull()
    assert shop.state()["cursor"] == "2026-03-01T04:00:00+00:00", "never later than the pull began"


# ------------------------------------------------------------------------------ faults of paging


@pytest.mark.bad_input("F37")
def test_f37_a_page_served_twice_by_a_slip_is_asked_for_again(api: Api, tmp_path: Path) -> None:
    second = api.page(Request("/orders", {"page": "2", "limit": "3"}, {}, ""))
    api.faults.append(once(page_is(3), second))
    report = puller(tmp_path, api).pull()
    assert (report.records, report.findings, report.retries) == (10, (), 1)


@pytest.mark.bad_input("F37")
def test_f37_a_page_that_stays_repeated_is_told_and_the_next_pull_asks_for_all_again(
    api: Api, tmp_path: Path
) -> None:
    second = api.page(Request("/orders", {"page": "2", "limit": "3"}, {}, ""))
    lasting = lambda request: second if request.params.get("page") == "3" else None  # noqa: E731
    api.faults.append(lasting)
    shop = puller(tmp_path, api)
    report = shop.pull()
    assert report.records == 7, "what came is landed; what was repeated is not written twice"
    assert report.findings == ("1 pages repeated an earlier page",)
    assert shop.state()["cursor"] is None, "the place is kept"
    api.faults.clear()
    assert shop.pull(now=NOW.replace(hour=5)).is_complete
    shop.ingest()
    assert len(shop.newest()) == 10


@pytest.mark.bad_input("F37")
def test_f37_a_source_that_ignores_the_page_number_does_not_pull_for_ever(
    api: Api, tmp_path: Path
) -> None:
    first = api.page(Request("/orders", {"page": "1", "limit": "3"}, {}, ""))
    api.faults.append(lambda request: first)
    with pytest.raises(PullError, match="3 pages in a row had all come before"):
        puller(tmp_path, api).pull()
    assert len(api.asked) == 1 + 2 * 3, "the page, then three times the same, each asked once more"


@pytest.mark.bad_input("F37")
def test_f37_a_source_that_goes_in_a_circle_does_not_pull_for_ever(
    api: Api, tmp_path: Path
) -> None:
    pages = [api.page(Request("/orders", {"page": n, "limit": "3"}, {}, "")) for n in "12"]
    api.faults.append(lambda request: pages[int(request.params["page"]) % 2])
    with pytest.raises(PullError, match="3 pages in a row had all come before"):
        puller(tmp_path, api).pull()
    assert len(api.asked) == 2 + 2 * 3


@pytest.mark.bad_input("F37")
def test_f37_two_repeated_pages_in_a_row_are_left_out_and_the_pull_goes_on(
    api: Api, tmp_path: Path
) -> None:
    """Six new orders in front of the list move the first two pages back."""
    api.records.reverse()

    def inserting(request: Request) -> None:
        if len(api.asked) == 3:
            api.records[:0] = [order(number) for number in range(16, 10, -1)]

    api.faults.append(inserting)
    shop = puller(tmp_path, api)
    assert shop.pull().findings == ("2 pages repeated an earlier page",)
    shop.ingest()
    assert len(shop.newest()) == 10


@pytest.mark.bad_input("F37")
@pytest.mark.parametrize("pagination", ["page counted", "offset"])
def test_f37_a_missing_page_is_found_by_counting(api: Api, tmp_path: Path, pagination: str) -> None:
    def skipping(request: Request) -> Answer | None:
        is_second = request.params.get("page") == "2" or request.params.get("offset") == "3"
        data = {"orders": [order(4)], "total": 10, "more": True}
        return reply({"code": 0, "data": data}) if is_second else None

    api.faults.append(skipping)
    shop = puller(tmp_path, api, {"pagination": PAGINATIONS[pagination]})
    report = shop.pull()
    assert "8 records came; 10 were announced" in report.findings
    assert shop.state()["cursor"] is None


@pytest.mark.bad_input("F37")
def test_f37_short_pages_are_told_when_more_follow(api: Api, tmp_path: Path) -> None:
    data = {"orders": [order(4)], "more": True}
    api.faults.append(lambda r: reply({"data": data}) if r.params.get("page") == "2" else None)
    report = puller(tmp_path, api).pull()
    assert report.findings == ("1 pages were short though more followed",)


@pytest.mark.bad_input("F37")
@pytest.mark.parametrize("pagination", ["cursor", "link"])
def test_f37_an_expired_cursor_starts_the_pull_again_once(
    api: Api, tmp_path: Path, pagination: str
) -> None:
    api.faults.append(once(lambda r: r.params.get("cursor") == "c6", reply({}, status=410)))
    shop = puller(tmp_path, api, {"pagination": PAGINATIONS[pagination]})
    report = shop.pull()
    assert (report.records, report.restarts) == (10, 1)
    api.faults.append(lambda r: reply({}, status=410) if r.params.get("cursor") == "c6" else None)
    with pytest.raises(PullError, match="forgot the pull's place twice"):
        puller(tmp_path / "other", api, {"pagination": PAGINATIONS[pagination]}).pull()
    assert list((tmp_path / "other" / "landing" / "api_orders").iterdir()) == []


@pytest.mark.bad_input("F37")
def test_f37_a_cursor_that_leads_back_is_no_endless_pull(api: Api, tmp_path: Path) -> None:
    back = {"orders": [order(50)], "next": "c3", "more": True}
    api.faults.append(lambda r: reply({"data": back}) if r.params.get("cursor") == "c6" else None)
    with pytest.raises(PullError, match="the next page is one that was read before"):
        puller(tmp_path, api, {"pagination": PAGINATIONS["cursor"]}).pull()


@pytest.mark.bad_input("F37")
@pytest.mark.parametrize("pagination", ["page", "page counted", "offset", "cursor"])
def test_f37_records_inserted_while_paging_lose_nothing(
    api: Api, tmp_path: Path, pagination: str
) -> None:
    """Two new orders come in front of the list after the first page was read."""
    api.records.reverse()

    def inserting(request: Request) -> None:
        if len(api.asked) == 2:
            api.records[:0] = [order(13, day=13), order(12, day=12)]

    api.faults.append(inserting)
    shop = puller(tmp_path, api, {"pagination": PAGINATIONS[pagination]})
    first = shop.pull()
    assert first.findings == ()
    shop.ingest()
    assert len(shop.newest()) == 10
    shop.pull(now=NOW.replace(hour=5))
    shop.ingest()
    assert set(shop.newest()) == {str(n) for n in (*range(1, 11), 12, 13)}


@pytest.mark.bad_input("F37")
@pytest.mark.bad_input("B91")
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>maintenance</html>", "no JSON"),
        (b"", "no JSON"),
        (b'{"code": 0, "code": 0, "data": {"orders": []}}', "no JSON"),
        (b'{"code": 0, "data": {"orders": [], "more": NaN}}', "no JSON"),
        (b'{"errcode": 40001, "errmsg": "x", "data": {"orders": [], "more": false}}', "errcode"),
        (b'{"error": {"message": "x"}, "data": {"orders": []}}', "error"),
        (b'{"code": 500, "msg": "x", "data": {"orders": [], "more": false}}', "code"),
        (b'{"success": false, "data": {"orders": [], "more": false}}', "success"),
        (b'{"code": 0, "data": null}', "no list of records"),
        (b'{"code": 0, "data": {"orders": {}}}', "no list of records"),
        (b'{"code": 0, "items": []}', "no list of records"),
        (b'{"code": 0, "data": {"orders": [1], "more": false}}', "no record"),
        (b'{"code": 0, "data": {"orders": [], "more": true}}', "more are said to follow"),
        (b'{"code": 0, "data": {"orders": []}}', "neither true nor false"),
    ],
)
def test_f37_an_error_with_status_200_is_never_a_source_without_news(
    api: Api, tmp_path: Path, body: bytes, words: str
) -> None:
    api.faults.append(lambda request: (200, {}, body))
    shop = puller(tmp_path, api)
    with pytest.raises(PullError, match=words):
        shop.pull()
    assert shop.files() == []
    assert not (shop.home.pull / "api_orders.json").exists()
    api.faults.clear()
    assert shop.pull().records == 10


@pytest.mark.bad_input("F37")
def test_f37_a_source_says_itself_what_no_error_is(api: Api, tmp_path: Path) -> None:
    api.faults.append(once(page_is(2), reply({"code": 7, "data": {"orders": [], "more": False}})))
    success = {"field": "code", "in": [0]}
    report = puller(tmp_path, api, {"success": success}).pull()
    assert (report.records, report.retries) == (10, 1)


@pytest.mark.bad_input("B91")
def test_b91_an_id_as_number_and_as_text_is_the_same_record(api: Api, tmp_path: Path) -> None:
    api.records[:] = [order(1), order(2), order(2) | {"id": "2"}]
    shop = puller(tmp_path, api)
    shop.pull()
    shop.ingest()
    rows = [
        (row["record_id"], row["content_hash"]) for row in shop.parts() if row["order_id"] == "2"
    ]
    assert len(rows) == 2
    assert len(set(rows)) == 1


@pytest.mark.bad_input("B91")
def test_b91_digits_arrive_as_they_were_sent(api: Api, tmp_path: Path) -> None:
    body = (
        b'{"code": 0, "data": {"more": false, "orders": [{"id": 12345678901234567890123, '
        b'"created_at": "2026-01-02T08:00:00+08:00", "updated_at": "2026-01-02T00:00:00Z", '
        b'"status": "PAID", "amount": 1234567890123.10, "buyer": {"id": "\\ud800x"}}]}}'
    )
    api.faults.append(lambda request: (200, {}, body))
    shop = puller(tmp_path, api)
    shop.pull()
    line = json.loads((shop.folder / shop.files()[0]).read_text())
    assert (line["id"], line["amount"]) == (12345678901234567890123, "1234567890123.10")


# ----------------------------------------------------------------- waiting, tokens, secrets, hosts


@pytest.mark.requirement("ING-7")
def test_a_busy_source_is_asked_again_after_the_time_it_names(api: Api, tmp_path: Path) -> None:
    api.faults += [
        once(page_is(2), (429, {"Retry-After": "7"}, b"")),
        once(page_is(3), (503, {}, b"")),
        once(page_is(4), (200, {"Content-Length": "9999"}, b'{"code": 0')),
    ]
    shop = puller(tmp_path, api)
    report = shop.pull()
    assert (report.records, report.retries) == (10, 3)
    assert shop.waits == [7.0, 1.0, 1.0]


@pytest.mark.requirement("ING-7")
def test_a_source_that_stays_down_lands_nothing_and_says_so(api: Api, tmp_path: Path) -> None:
    api.faults.append(lambda r: (500, {}, b"stack trace") if r.params.get("page") == "2" else None)
    shop = puller(tmp_path, api)
    with pytest.raises(PullError, match="status 500, 3 times"):
        shop.pull()
    assert shop.waits == [1.0, 2.0]
    assert list(shop.folder.iterdir()) == []
    api.faults[:] = [lambda r: (429, {"Retry-After": "86400"}, b"")]
    with pytest.raises(PullError, match="asks to wait 86400 s"):
        shop.pull()


@pytest.mark.bad_input("F38")
def test_f38_a_rotated_token_is_read_again_once_in_the_middle(api: Api, tmp_path: Path) -> None:
    shop = puller(tmp_path, api)
    secret = tmp_path / "token"
    secret.write_text(TOKEN + "\n")
    shop.env = {"SHOP_TOKEN_FILE": str(secret)}

    def rotate(request: Request) -> None:
        if request.params.get("page") == "3" and TOKEN in api.tokens:
            api.tokens = {FRESH}
            secret.write_text(FRESH)

    api.faults.append(rotate)
    report = shop.pull()
    assert (report.records, report.token_refreshes, report.retries) == (10, 1, 0)


@pytest.mark.bad_input("F38")
def test_f38_a_fetched_token_that_expires_is_fetched_anew(api: Api, tmp_path: Path) -> None:
    auth = {"kind": "client_credentials", "token_url": f"{api.url}/token",
            "client_id": "env:ID", "client_secret": "env:SECRET"}  # fmt: skip
    shop = puller(tmp_path, api, {"auth": auth})
    shop.env = {"ID": "client-7", "SECRET": "secret-of-client-7"}
    given = iter([TOKEN, FRESH])

    def tokens(request: Request) -> Answer | None:
        if request.params.get("page") == "3":
            api.tokens = {FRESH}
        return reply({"access_token": next(given)}) if request.path == "/token" else None

    api.faults.append(tokens)
    report = shop.pull()
    assert (report.records, report.token_refreshes) == (10, 1)


@pytest.mark.bad_input("F38")
def test_f38_a_token_that_stays_refused_is_tried_no_more_than_once_more(
    api: Api, tmp_path: Path
) -> None:
    api.tokens = {"quite another"}
    with pytest.raises(PullError, match="refuses who asks"):
        puller(tmp_path, api).pull()
    assert len(api.asked) <= 2


AUTHS: dict[str, dict[str, str]] = {
    "bearer": {"kind": "bearer", "token": "env:SHOP_TOKEN"},
    "header": {"kind": "api_key", "key": "env:SHOP_TOKEN", "header": "X-Api-Key"},
    "parameter": {"kind": "api_key", "key": "env:SHOP_TOKEN", "param": "access_token"},
}


@pytest.mark.bad_input("F38")
@pytest.mark.parametrize("auth", AUTHS.values(), ids=AUTHS)
@pytest.mark.parametrize("fault", ["none", "status 401", "status 500", "echo", "no answer"])
def test_f38_no_secret_stands_in_logs_errors_or_files(
    api: Api,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    auth: dict[str, str],
    fault: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = json.dumps({TOKEN: TOKEN}).encode()
    broken = {
        "status 401": (401, {}, echo),
        "status 500": (500, {}, echo),
        "echo": (200, {}, echo),
        "no answer": (200, {"Content-Length": "9999"}, echo),
    }
    if fault in broken:
        api.faults.append(lambda request: broken[fault])
    shop = puller(tmp_path, api, {"auth": auth})
    told = ""
    if fault == "none":
        told = str(shop.pull().describe())
    else:
        with pytest.raises(PullError) as caught:
            shop.pull()
        error: BaseException | None = caught.value
        while error is not None:
            told += str(error) + repr(error)
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    streams = capfd.readouterr()
    told += caplog.text + streams.out + streams.err
    told += "".join(
        path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()
    )
    assert TOKEN not in told


@pytest.mark.bad_input("F38")
def test_f38_a_missing_secret_is_told_by_name(api: Api, tmp_path: Path) -> None:
    shop = puller(tmp_path, api)
    shop.env = {}
    with pytest.raises(ConfigError, match="the environment has no SHOP_TOKEN"):
        shop.pull()
    assert api.asked == []


@pytest.mark.bad_input("B81")
def test_b81_a_next_page_on_another_host_gets_neither_question_nor_token(
    api: Api, tmp_path: Path
) -> None:
    with serving(Api([order(1)])) as other:
        elsewhere = {"orders": [order(1)], "url": f"{other.url}/orders"}
        api.faults.append(lambda request: reply({"data": elsewhere}))
        shop = puller(tmp_path, api, {"pagination": PAGINATIONS["link"]})
        with pytest.raises(PullError, match="another host"):
            shop.pull()
        assert other.asked == []


@pytest.mark.bad_input("B81")
def test_b81_a_redirect_is_not_followed(api: Api, tmp_path: Path) -> None:
    with serving(Api([order(1)])) as other:
        api.faults.append(lambda request: (302, {"Location": f"{other.url}/orders"}, b""))
        with pytest.raises(PullError, match="sends on to another address"):
            puller(tmp_path, api).pull()
        assert other.asked == []


@pytest.mark.bad_input("B81")
@pytest.mark.parametrize("address", ["169.254.169.254", "127.0.0.1", "::1", "fe80::1", "0.0.0.0"])
def test_b81_a_harmless_name_that_leads_to_the_machine_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = [(family, socket.SOCK_STREAM, 6, "", (address, 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    shop = puller(tmp_path, Api([], url="https://api.example.com"), {"allow": []})
    with pytest.raises(PullError, match="leads to an address of this machine"):
        shop.pull()


@pytest.mark.requirement("ING-7")
def test_an_answer_without_end_is_not_swallowed(api: Api, tmp_path: Path) -> None:
    api.faults.append(lambda request: (200, {}, b" " * (1024 * 1024 + 1)))
    with pytest.raises(PullError, match="more than 1 MB"):
        puller(tmp_path, api, {"max_page_mb": 1}).pull()


# ------------------------------------------------------------------------------- the whole process

CHILD = """
import json, sys
from pathlib import Path
from tests.integration.pull_support import Api, puller
shop = puller(Path(sys.argv[1]), Api([], url=sys.argv[2]))
shop.pull()
"""


def run_child(api: Api, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """One pull in a process of its own."""
    command = [sys.executable, "-c", CHILD, str(folder), api.url]
    settings = {**os.environ, **env}
    return subprocess.run(command, capture_output=True, text=True, env=settings, check=False)


@pytest.mark.bad_input("F37")
@pytest.mark.parametrize(
    "point",
    ["pull_page:kill@2", "pull_land_before:kill", "pull_land_between:kill", "pull_land_after:kill",
     "pull_state_before:kill", "pull_state_after:kill"],
)  # fmt: skip
def test_f37_a_pull_killed_anywhere_is_pulled_again_without_loss_or_doubles(
    api: Api, tmp_path: Path, point: str
) -> None:
    killed = run_child(api, tmp_path, CRM_FAIL=point)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    shop = puller(tmp_path, api)
    shop.ingest()
    report = shop.pull(now=NOW.replace(hour=5))
    assert report.is_complete
    shop.ingest()
    assert len(shop.newest()) == 10
    assert len({(r["record_id"], r["content_hash"]) for r in shop.parts()}) == 10
    left = [p.name for p in shop.folder.iterdir() if p.name.startswith(".tmp-pull-")]
    manifests = [p for p in shop.folder.iterdir() if p.name.endswith(".manifest.json")]
    assert left == []
    assert len(manifests) == len(shop.files())


def neighbour(shop: Puller, api: Api) -> Puller:
    """Another source that lands in the same folder for the same feed."""
    spec = shop.spec.model_copy(update={"source": "api_orders_b"})
    other = Puller(shop.home.root.parent, spec, shop.feed)
    assert (other.home.root, other.folder) == (shop.home.root, shop.folder)
    return other


def proven(shop: Puller) -> list[int]:
    """Number of records per landed file; each is what its manifest says."""
    counts = []
    for name in shop.files():
        content = (shop.folder / name).read_bytes()
        said = json.loads((shop.folder / f"{name}.manifest.json").read_text())
        assert said["sha256"] == hashlib.sha256(content).hexdigest()
        counts.append(said["records"])
    assert len(list(shop.folder.iterdir())) == 2 * len(counts)
    return counts


@pytest.mark.requirement("ING-7")
def test_a_source_leaves_the_unfinished_file_of_its_neighbour_alone(
    api: Api, tmp_path: Path
) -> None:
    shop = puller(tmp_path, api)
    other = neighbour(shop, api)

    def in_between(request: Request) -> None:
        if len(api.asked) == 3:
            other.pull()

    api.faults.append(in_between)
    assert shop.pull().is_complete
    assert proven(shop) == [10, 10]
    shop.ingest()
    assert len(shop.newest()) == 10


@pytest.mark.requirement("ING-7")
def test_two_sources_of_one_folder_land_one_after_the_other(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = puller(tmp_path, api)
    other = neighbour(shop, api)
    with ThreadPoolExecutor() as pool:
        second: list[Future[PullReport]] = []

        def in_between(point: str) -> None:
            if point == "pull_land_between" and not second:
                second.append(pool.submit(other.pull))
                wait(second, timeout=1)

        monkeypatch.setattr(landing_file, "failpoint", in_between)
        shop.pull()
        assert second[0].result().is_complete
    assert proven(shop) == [10, 10]


@pytest.mark.requirement("ING-7")
def test_two_pulls_of_one_source_do_not_run_at_once(api: Api, tmp_path: Path) -> None:
    shop = puller(tmp_path, api)
    lock = shop.home.pull / "api_orders.lock"
    with (
        hold_lock(lock, holder="somebody else", wait_seconds=0, what="x"),
        pytest.raises(WarehouseError, match="the pull of api_orders is held by"),
    ):
        shop.pull()


@pytest.mark.requirement("ING-7")
def test_nobody_but_the_source_is_asked_and_nothing_is_left_in_the_users_home(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library's telemetry is off: every name looked up and every connection is seen."""
    spy = tmp_path / "spy"
    spy.mkdir()
    (spy / "sitecustomize.py").write_text(
        "import sys\n"
        "def hook(event, args):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo'):\n"
        "        print('CONTACT', args[-1] if event == 'socket.connect' else args[:2])\n"
        "sys.addaudithook(hook)\n"
    )
    users_home = tmp_path / "users_home"
    users_home.mkdir()
    root = Path(__file__).resolve().parents[2]
    env = {"PYTHONPATH": f"{spy}{os.pathsep}{root}", "HOME": str(users_home)}
    monkeypatch.delenv("RUNTIME__DLTHUB_TELEMETRY", raising=False)  # the pull itself turns it off
    child = run_child(api, tmp_path / "home", **env)
    assert child.returncode == 0, child.stderr
    port = api.url.rsplit(":", 1)[1]
    contacts = {line for line in child.stdout.splitlines() if line.startswith("CONTACT")}
    assert contacts
    strangers = [c for c in contacts if not ("127.0.0.1" in c and port in c)]
    assert strangers == []
    assert list(users_home.iterdir()) == []
