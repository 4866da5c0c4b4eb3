"""Audiences for ad platforms: only who agreed to it, with real ledger, vault and build."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import json
import stat
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from crm_pipeline.cli import main
from crm_pipeline.lib.consent import post_consents, tokenise_contact
from crm_pipeline.lib.errors import OutreachError
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.identity import assign_customer_ids
from crm_pipeline.lib.ledger import open_ledger, open_vault
from crm_pipeline.lib.ledger.schema import audience_members, audit, inbox_files, inbox_parts, vault
from crm_pipeline.lib.outreach.audience_export import AudienceExport, export_audience
from crm_pipeline.lib.publish import Manifest
from crm_pipeline.lib.rules.ad_platforms import AdPlatform, Identifier

pytestmark = [pytest.mark.requirement("OUT-10"), pytest.mark.requirement("PRV-1")]

KEY = b"a key for tests only"
AS_OF = dt.date(2026, 6, 30)
NOW = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
PLATFORM = AdPlatform(
    "ads",
    (Identifier("phone", "e164", "Phone"), Identifier("email", "email", "Email")),
    min_people=2,
    min_age=18,
)
FIELDS = (
    "record_id", "channel", "source_customer_id", "contact_kind", "contact_value", "purpose",
    "consent_channel", "action", "notice_version", "evidence",
)  # fmt: skip


class Shop:
    """Five people with a tag; p1 … p5 have a phone each."""

    def __init__(self, root: Path) -> None:
        self.home = CrmHome(root).ensure()
        self.ledger, self.vault = open_ledger(self.home), open_vault(self.home)
        self.sources = [f"p{number}" for number in range(1, 6)]
        self.ids = self.cluster()
        self.folder = root / "handed"
        self.publish()

    def phone(self, person: str) -> str:
        return f"+8613812340{int(person[1:]):03d}"

    def cluster(self, **clusters: str) -> dict[str, str]:
        accounts = pa.table(
            {
                "channel": ["shop"] * len(self.sources),
                "source_customer_id": self.sources,
                "cluster": [clusters.get(one, f"alone-{one}") for one in self.sources],
            }
        )
        ids = assign_customer_ids(self.home, self.ledger, accounts, key=KEY, as_of=AS_OF)
        names = ("source_customer_id", "customer_id")
        return dict(zip(*(ids.column(name).to_pylist() for name in names), strict=True))

    def publish(
        self, *, tagged: list[str] | None = None, born: dict[str, int] | None = None
    ) -> None:
        folder = self.home.published / "20260630-test"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "crm.duckdb"
        path.unlink(missing_ok=True)
        with duckdb.connect(str(path)) as connection:
            connection.execute("create schema marts")
            connection.execute("create table marts.customer_tags (customer_id text, tag text)")
            connection.execute(
                "create table marts.customer_360 (customer_id text, birth_year integer)"
            )
            connection.execute(
                "create table marts.outreach_decisions "
                "(customer_id text, journey text, outcome text, as_of_date date)"
            )
            for person in self.sources if tagged is None else tagged:
                connection.execute(
                    "insert into marts.customer_tags values (?, '妈妈')", [self.ids[person]]
                )
            for person, year in (born or {}).items():
                values = [self.ids[person], year]
                connection.execute("insert into marts.customer_360 values (?, ?)", values)
            outcomes = ("send", "no_consent", "holdout", "open_complaint", "capped")
            for person, outcome in zip(self.sources, outcomes, strict=False):
                connection.execute(
                    "insert into marts.outreach_decisions values (?, 'wake_up', ?, '2026-06-30'), "
                    "(?, 'wake_up', 'send', '2026-06-29')",
                    [self.ids[person], outcome, self.ids[person]],
                )
        manifest = Manifest("20260630-test", AS_OF, NOW, 0, "", {}, folder)
        (folder / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
        current = self.home.published / "current"
        if not current.exists():
            current.symlink_to(folder.name)

    def say(self, action: str, *people: str, day: int = 1, **changes: str) -> None:
        """Advertising by phone, unless told otherwise, on that day of June 2026."""
        rows = []
        for person in people:
            row = {
                "channel": "shop", "source_customer_id": person, "contact_kind": "phone",
                "contact_value": self.phone(person), "purpose": "advertising",
                "consent_channel": "sms", "action": action, "notice_version": "1",
                "evidence": "form", **changes,
            }  # fmt: skip
            row["record_id"] = hashlib.sha256(repr((sorted(row.items()), day)).encode()).hexdigest()
            rows.append(row)
        table = pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in FIELDS]))
        times = pa.array([dt.datetime(2026, 6, day)] * len(rows), pa.timestamp("us"))  # noqa: DTZ001
        table = table.append_column("occurred_at", times).append_column("known_at", times)
        post_consents(
            self.ledger, self.vault, table, key=KEY, feed="consents", file_sha256=f"f{day}"
        )

    def object(self, person: str, status: str, day: int = 1, kind: str = "erasure") -> None:
        path = self.home.conformed / "privacy_requests" / f"{person}-{day}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        row = {
            "feed": "desk", "request_id": f"r-{person}", "channel": "desk",
            "account_channel": "shop", "source_customer_id": person, "request_kind": kind,
            "request_status": status, "known_at": dt.datetime(2026, 6, day),  # noqa: DTZ001
        }  # fmt: skip
        pq.write_table(pa.Table.from_pylist([row]), path)
        file = {"feed": "desk", "file_sha256": path.stem}
        with self.ledger.begin() as connection:
            connection.execute(
                sa.insert(inbox_files).values(
                    **file, channel="desk", entity="privacy_requests", file_name="x.csv",
                    size_bytes=1, received_at=row["known_at"],
                )
            )  # fmt: skip
            connection.execute(
                sa.insert(inbox_parts).values(
                    **file, contract_hash="h", state="active", received_count=1, written_count=1,
                    quarantined_count=0, part_path=str(path.relative_to(self.home.root)),
                )
            )  # fmt: skip

    def export(self, name: str = "tag:妈妈", platform: AdPlatform = PLATFORM) -> AudienceExport:
        return export_audience(
            self.home, self.ledger, self.vault, name, platform, self.folder, actor="li",
            now=dt.datetime.now(dt.UTC),
        )  # fmt: skip

    def hashes(self, *people: str) -> set[str]:
        return {hashlib.sha256(self.phone(person).encode()).hexdigest() for person in people}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def read(path: Path | None, column: str = "Phone") -> set[str]:
    assert path is not None
    with path.open(encoding="ascii", newline="") as source:
        return {row[column] for row in csv.DictReader(source)} - {""}


def test_only_who_granted_advertising_is_handed_over(shop: Shop) -> None:
    """A grant for marketing is not one for handing the address to a platform."""
    shop.say("granted", "p1", "p2")
    shop.say("granted", "p3", "p4", "p5", purpose="marketing")
    report = shop.export()
    assert read(report.members_path) == shop.hashes("p1", "p2")
    assert (report.people, report.member_count, report.removal_count) == (2, 2, 0)
    assert report.left_out == {"no_grant": 3}
    assert report.removals_path is None


def test_the_address_is_granted_by_its_own_channel(shop: Shop) -> None:
    shop.say("granted", "p1", "p2")
    shop.say("granted", "p3", consent_channel="wecom")
    shop.say(
        "granted", "p4",
        contact_value="P4@Example.org", contact_kind="email", consent_channel="email",
    )  # fmt: skip
    report = shop.export()
    assert read(report.members_path) == shop.hashes("p1", "p2")
    assert read(report.members_path, "Email") == {hashlib.sha256(b"p4@example.org").hexdigest()}
    assert report.people == 3


@pytest.mark.parametrize("purpose", ["advertising", "a purpose nobody knows"])
def test_a_withdrawal_since_the_build_counts_at_once_and_is_named_to_the_platform(
    shop: Shop, purpose: str
) -> None:
    shop.say("granted", "p1", "p2", "p3")
    shop.export()
    shop.say("withdrawn", "p3", day=2, purpose=purpose)
    second = shop.export()
    assert read(second.members_path) == shop.hashes("p1", "p2")
    assert read(second.removals_path) == shop.hashes("p3")
    third = shop.export()
    assert third.removals_path is None
    shop.say("granted", "p3", day=3)
    assert read(shop.export().members_path) == shop.hashes("p1", "p2", "p3")
    shop.say("withdrawn", "p3", day=4)
    assert read(shop.export().removals_path) == shop.hashes("p3")


def test_who_left_the_audience_is_removed_too_and_another_audience_keeps_its_own(
    shop: Shop,
) -> None:
    shop.say("granted", *shop.sources)
    shop.export()
    assert read(shop.export("wake_up").members_path) == shop.hashes("p1", "p2", "p5")
    shop.publish(tagged=["p1", "p2"])
    assert read(shop.export().removals_path) == shop.hashes("p3", "p4", "p5")
    assert shop.export("wake_up").removals_path is None


def test_a_journey_hands_over_neither_its_holdout_nor_who_complains(shop: Shop) -> None:
    shop.say("granted", *shop.sources)
    assert read(shop.export("wake_up").members_path) == shop.hashes("p1", "p2", "p5")


@pytest.mark.parametrize("kind", ["erasure", "restriction", "profiling_opt_out"])
def test_who_objected_is_left_out_unless_the_desk_refused_it(shop: Shop, kind: str) -> None:
    shop.say("granted", *shop.sources)
    shop.object("p1", "open", kind=kind)
    shop.object("p2", "done", kind=kind)
    shop.object("p3", "open", kind=kind)
    shop.object("p3", "refused", day=2, kind=kind)
    report = shop.export()
    assert read(report.members_path) == shop.hashes("p3", "p4", "p5")
    assert report.left_out == {"objected": 2}


def test_a_request_of_one_account_holds_for_the_whole_person(shop: Shop) -> None:
    shop.say("granted", *shop.sources)
    shop.ids = shop.cluster(p1="one", p2="one")
    shop.publish()
    shop.object("p2", "open")
    assert read(shop.export().members_path) == shop.hashes("p3", "p4", "p5")


def test_a_withdrawal_of_one_account_holds_for_the_whole_person(shop: Shop) -> None:
    shop.say("granted", *shop.sources)
    shop.say("withdrawn", "p2", day=2)
    shop.ids = shop.cluster(p1="one", p2="one")
    shop.publish()
    assert read(shop.export().members_path) == shop.hashes("p3", "p4", "p5")


def test_a_customer_merged_away_since_the_build_is_left_out(shop: Shop) -> None:
    shop.say("granted", "p1", "p2", "p3", "p4")
    ids = shop.cluster(p1="one", p2="one")
    (kept,) = {ids["p1"], ids["p2"]}
    gone = next(one for one in ("p1", "p2") if shop.ids[one] != kept)
    shop.publish(tagged=[gone, "p3", "p4"])
    assert read(shop.export().members_path) == shop.hashes("p3", "p4")


def test_who_may_be_under_age_is_left_out(shop: Shop) -> None:
    shop.say("granted", *shop.sources)
    shop.publish(born={"p1": 2010, "p2": 2008, "p3": 2007})
    report = shop.export()
    assert read(report.members_path) == shop.hashes("p3", "p4", "p5")
    assert report.left_out == {"too_young": 2}


def test_an_address_the_vault_has_forgotten_is_left_out_and_removed_by_its_hash(shop: Shop) -> None:
    shop.say("granted", "p1", "p2", "p3")
    shop.export()
    token = tokenise_contact("phone", shop.phone("p3"), key=KEY).token
    with shop.vault.begin() as connection:
        connection.execute(sa.delete(vault).where(vault.c.token == token))
    assert read(shop.export().removals_path) == shop.hashes("p3")


def test_too_few_people_are_not_handed_over_but_removals_are(shop: Shop) -> None:
    shop.say("granted", "p1")
    with pytest.raises(OutreachError, match="1 people of the audience"):
        shop.export()
    assert not shop.folder.exists() or list(shop.folder.iterdir()) == []
    shop.say("granted", "p2", day=2)
    shop.export()
    shop.say("withdrawn", "p1", day=3)
    with pytest.raises(OutreachError, match="removals") as refusal:
        shop.export()
    (removals,) = shop.folder.glob("*-removals.csv")
    assert read(removals) == shop.hashes("p1")
    assert str(removals) in str(refusal.value)


def test_every_export_is_on_record_without_personal_data(shop: Shop) -> None:
    shop.say("granted", "p1", "p2")
    shop.export()
    with shop.ledger.connect() as connection:
        (row,) = connection.execute(sa.select(audit)).all()
    detail = json.loads(row.detail)
    assert (row.actor, row.action) == ("li", "audience_exported")
    assert detail["purpose"] == "advertising"
    assert (detail["people"], detail["members"], detail["removals"]) == (2, 2, 0)
    said = row.detail + " ".join(path.name for path in shop.folder.iterdir())
    for person in shop.sources:
        assert shop.phone(person)[1:] not in said
        assert shop.ids[person] not in said
    assert not shop.hashes(*shop.sources) & set(said.split('"'))


def test_the_lists_are_for_their_owner_alone_and_hold_nothing_but_hashes(shop: Shop) -> None:
    shop.say("granted", "p1", "p2")
    path = shop.export().members_path
    assert path is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    header, *lines = path.read_text(encoding="ascii").split()
    assert header == "Phone,Email"
    assert lines == sorted(f"{one}," for one in shop.hashes("p1", "p2"))


@pytest.mark.parametrize("point", ["audience_recorded", "audience_written"])
def test_a_crash_leaves_no_list_that_nobody_knows_of(
    shop: Shop, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a file may have told the platform is removed again when it has to be."""
    shop.say("granted", "p1", "p2", "p3")
    monkeypatch.setenv("CRM_FAIL", f"{point}:raise@1")
    monkeypatch.setattr("crm_pipeline.lib.failpoints._passes", {})
    with pytest.raises(RuntimeError):
        shop.export()
    written = list(shop.folder.glob("*-members.csv"))
    with shop.ledger.connect() as connection:
        recorded = connection.execute(sa.select(sa.func.count()).select_from(audit)).scalar_one()
    assert len(written) <= recorded
    monkeypatch.delenv("CRM_FAIL")
    shop.say("withdrawn", "p3", day=2)
    assert read(shop.export().removals_path) == shop.hashes("p3")


def test_nobody_at_all_is_refused_with_what_to_name(shop: Shop) -> None:
    with pytest.raises(OutreachError, match="tag:"):
        shop.export("tag:nobody")
    with shop.vault.connect() as connection:
        assert connection.execute(sa.select(audience_members)).all() == []


def test_the_command_hands_over_and_says_how_many(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.sources = [f"p{number}" for number in range(100, 220)]
    shop.ids = shop.cluster()
    shop.publish()
    shop.say("granted", *shop.sources)
    monkeypatch.setenv("CRM_OPERATOR", "li")
    arguments = ["audience", "export", "--audience", "tag:妈妈", "--platform", "meta"]
    result = CliRunner().invoke(
        main, [*arguments, "--home", str(shop.home.root), "--out", str(shop.folder)]
    )
    assert result.exit_code == 0, result.output
    assert "120 people, 120 addresses" in result.output
