"""What people agreed to, whatever way it was said and in whatever order it came."""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from crm_pipeline.lib.consent import current_consent, post_consents, tokenise_contact
from crm_pipeline.lib.consent.state import Account, find_usable
from crm_pipeline.lib.errors import LedgerError
from crm_pipeline.lib.failpoints import InjectedFailureError
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger import open_ledger, open_vault
from crm_pipeline.lib.ledger.schema import consents, vault

KEY = b"a key for tests only"
MAIL = "ann@example.org"
TOKEN = tokenise_contact("email", MAIL, key=KEY).token
COLUMNS = {
    "record_id": pa.string(),
    "channel": pa.string(),
    "source_customer_id": pa.string(),
    "contact_kind": pa.string(),
    "contact_value": pa.string(),
    "purpose": pa.string(),
    "consent_channel": pa.string(),
    "action": pa.string(),
    "occurred_at": pa.timestamp("us"),
    "known_at": pa.timestamp("us"),
    "notice_version": pa.string(),
    "evidence": pa.string(),
}


class Books:
    """A ledger and a vault."""

    def __init__(self, root: Path) -> None:
        home = CrmHome(root).ensure()
        self.ledger, self.vault = open_ledger(home), open_vault(home)

    def post(self, *events: dict[str, Any], file: str = "f1"):
        table = pa.Table.from_pylist(list(events), schema=pa.schema(list(COLUMNS.items())))
        return post_consents(
            self.ledger, self.vault, table, key=KEY, feed="consents", file_sha256=file
        )

    def state(self, purpose: str = "marketing", channel: str = "email") -> bool | None:
        with self.ledger.connect() as connection:
            found = current_consent(connection, TOKEN, purpose, channel)
        return None if found is None else found.is_granted

    def count(self, table: sa.Table) -> int:
        engine = self.vault if table is vault else self.ledger
        with engine.connect() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books(tmp_path)


def event(action: str, day: int, **changes: Any) -> dict[str, Any]:
    moment = dt.datetime(2011, 1, 1) + dt.timedelta(days=day)  # noqa: DTZ001 - as stored
    values = {
        "channel": "shop",
        "source_customer_id": "1",
        "contact_kind": "email",
        "contact_value": MAIL,
        "purpose": "marketing",
        "consent_channel": "email",
        "action": action,
        "occurred_at": moment,
        "known_at": moment,
        "notice_version": "2011-01",
        "evidence": "web form",
        **changes,
    }
    key = "|".join(str(values[name]) for name in sorted(values))
    return {"record_id": f"{random.Random(key).getrandbits(128):032x}", **values}


@pytest.mark.requirement("PRV-1")
def test_the_last_word_counts_in_any_order_of_arrival(tmp_path: Path) -> None:
    events = [event("granted", 1), event("withdrawn", 5), event("granted", 3)]
    for number, order in enumerate(([0, 1, 2], [1, 2, 0], [2, 0, 1])):
        books = Books(tmp_path / str(number))
        for place in order:
            books.post(events[place], file=f"f{place}")
        assert books.state() is False
        books.post(event("granted", 9))
        assert books.state() is True


@pytest.mark.requirement("PRV-1")
@pytest.mark.bad_input("B85")
def test_of_two_truths_in_one_second_the_withdrawal_counts(books: Books) -> None:
    books.post(event("withdrawn", 1), event("granted", 1))
    assert books.state() is False


@pytest.mark.requirement("PRV-1")
def test_nothing_said_is_no_consent(books: Books) -> None:
    assert books.state() is None


@pytest.mark.requirement("PRV-1")
def test_a_grant_counts_only_for_its_purpose_and_channel(books: Books) -> None:
    books.post(event("granted", 1))
    assert books.state() is True
    assert books.state(purpose="service") is None
    assert books.state(channel="sms") is None


@pytest.mark.bad_input("B85")
@pytest.mark.parametrize("scope", [{"purpose": "anything"}, {"consent_channel": "pigeon"}])
def test_a_withdrawal_nobody_can_place_withdraws_everything(books: Books, scope: dict) -> None:
    books.post(event("granted", 1), event("withdrawn", 2, **scope))
    assert books.state() is False


@pytest.mark.bad_input("B85")
@pytest.mark.parametrize("scope", [{"purpose": "*"}, {"consent_channel": "*"}, {"purpose": "x"}])
def test_a_grant_nobody_can_place_grants_nothing(books: Books, scope: dict) -> None:
    books.post(event("granted", 1, **scope))
    assert books.state() is None


@pytest.mark.requirement("ING-3")
def test_the_same_events_again_change_nothing(books: Books) -> None:
    events = [event("granted", 1), event("withdrawn", 2)]
    first, second = books.post(*events), books.post(*events, file="f2")
    assert (first.posted_count, second.posted_count) == (2, 0)
    assert second.already_known_count == 2
    assert books.count(consents) == 2 and books.count(vault) == 1


@pytest.mark.bad_input("B86")
def test_an_opt_out_with_an_address_that_is_none_is_kept(books: Books) -> None:
    report = books.post(event("withdrawn", 1, contact_value="ann at example"))
    assert (report.posted_count, report.unusable_contact_count) == (1, 1)
    assert books.count(vault) == 0


@pytest.mark.bad_input("B86")
def test_an_opt_out_spelled_another_way_finds_the_contact(books: Books) -> None:
    books.post(event("granted", 1))
    books.post(event("withdrawn", 2, contact_value=" ＡＮＮ@EXAMPLE.org", source_customer_id="9"))
    assert books.state() is False


@pytest.mark.requirement("PRV-4")
def test_clear_addresses_stand_in_the_vault_only(books: Books, tmp_path: Path) -> None:
    books.post(event("granted", 1))
    with books.ledger.begin() as connection:
        connection.exec_driver_sql("select 1")
    books.ledger.dispose()
    for path in (tmp_path / "ledger").glob("ledger.sqlite*"):
        assert MAIL.encode() not in path.read_bytes()
    with books.vault.connect() as connection:
        assert connection.execute(sa.select(vault.c.clear_value)).scalars().all() == [MAIL]


@pytest.mark.requirement("SRV-3")
@pytest.mark.parametrize("point", ["consents_before", "consents_after"])
def test_a_crash_while_posting_and_a_second_try_lose_and_double_nothing(
    books: Books, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crm_pipeline.lib.failpoints._passes", {})
    monkeypatch.setenv("CRM_FAIL", f"{point}:raise")
    with pytest.raises(InjectedFailureError):
        books.post(event("granted", 1))
    monkeypatch.delenv("CRM_FAIL")
    books.post(event("granted", 1))
    assert books.count(consents) == 1 and books.count(vault) == 1 and books.state() is True


def test_an_action_nobody_knows_stops_the_file(books: Books) -> None:
    with pytest.raises(LedgerError, match="a consent record says 'maybe'"):
        books.post(event("maybe", 1))


def test_no_records_at_all_are_fine(books: Books) -> None:
    assert books.post().posted_count == 0


OLD_MAIL = "ann.old@example.org"
HERS, ALSO_HERS, HIS = ("shop", "1"), ("wecom", "7"), ("shop", "2")


def said(action: str, day: int, account: Account = HERS, mail: str = MAIL) -> dict[str, Any]:
    """An account says so by a mail address, on that day."""
    return event(action, day, channel=account[0], source_customer_id=account[1], contact_value=mail)


def usable(books: Books, *accounts: Account) -> set[str]:
    """Which of the two addresses a message to the person with these accounts may go to."""
    tokens = {tokenise_contact("email", mail, key=KEY).token: mail for mail in (MAIL, OLD_MAIL)}
    with books.ledger.connect() as connection:
        found = find_usable(
            connection,
            [("person", token) for token in tokens],
            {"person": accounts},
            "marketing",
            "email",
        )
    return {tokens[token] for _, token in found}


@pytest.mark.requirement("PRV-1")
def test_a_person_withdraws_by_any_contact_until_that_contact_comes_back(books: Books) -> None:
    books.post(said("granted", 1), said("granted", 1, mail=OLD_MAIL))
    assert usable(books, HERS) == {MAIL, OLD_MAIL}
    books.post(said("withdrawn", 3, mail=OLD_MAIL))
    assert usable(books, HERS) == set()
    books.post(said("granted", 4, mail=OLD_MAIL))
    assert usable(books, HERS) == {MAIL, OLD_MAIL}


@pytest.mark.requirement("PRV-1")
def test_a_withdrawal_by_one_account_stops_the_older_grants_of_the_others(books: Books) -> None:
    books.post(said("granted", 1), said("withdrawn", 2, ALSO_HERS, OLD_MAIL))
    assert usable(books, HERS, ALSO_HERS) == set()
    assert usable(books, HERS) == {MAIL}  # a split gives each its own again
    assert usable(books, ALSO_HERS) == set()


@pytest.mark.requirement("PRV-1")
def test_the_grant_of_one_account_opens_no_contact_of_another(books: Books) -> None:
    books.post(said("granted", 1), said("withdrawn", 0, ALSO_HERS, OLD_MAIL))
    assert usable(books, HERS, ALSO_HERS) == {MAIL}
    assert usable(books, ALSO_HERS) == set()


@pytest.mark.requirement("PRV-1")
def test_what_somebody_else_grants_for_a_shared_contact_does_not_bring_a_person_back(
    books: Books,
) -> None:
    books.post(said("granted", 1), said("withdrawn", 2))
    books.post(said("granted", 3, HIS))
    assert usable(books, HERS) == set()
    assert usable(books, HIS) == {MAIL}  # his own word, after hers
    assert usable(books, HERS, HIS) == {MAIL}  # one person after all: the last word counts
    books.post(said("withdrawn", 4))
    assert usable(books, HIS) == set()  # she said no to this mailbox, whoever else reads it


@pytest.mark.requirement("PRV-1")
def test_somebody_elses_grant_does_not_end_a_withdrawal_by_another_contact(books: Books) -> None:
    books.post(said("granted", 1), said("granted", 1, mail=OLD_MAIL))
    books.post(said("withdrawn", 2, mail=OLD_MAIL), said("granted", 3, HIS, OLD_MAIL))
    assert usable(books, HERS) == set()


@pytest.mark.requirement("PRV-1")
def test_who_is_nobody_any_more_agreed_to_nothing(books: Books) -> None:
    books.post(said("granted", 1))
    assert usable(books) == set()
