"""Receipts that say no: understood in every spelling, booked for the account, in any order."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from crm_pipeline.lib.consent import (
    is_opt_out,
    normalise_contact,
    post_consents,
    post_opt_outs,
    tokenise_contact,
)
from crm_pipeline.lib.consent.contacts import account_contact
from crm_pipeline.lib.consent.state import find_usable
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion import entities
from crm_pipeline.lib.ledger import open_ledger, open_vault
from crm_pipeline.lib.ledger.schema import consents
from crm_pipeline.resources import Deployment

KEY = b"a key for tests only"
PHONE = "13912345678"
ARROW = {"varchar": pa.string(), "timestamp": pa.timestamp("us"), "bigint": pa.int64()}


def table_of(entity: str, rows: list[dict[str, Any]]) -> pa.Table:
    """A part of ``entity`` as the door writes it; what a row does not say is absent."""
    columns = entities.part_columns(entities.entity_named(entity))
    schema = pa.schema([(name, ARROW.get(kind, pa.string())) for name, kind in columns])
    return pa.Table.from_pylist(rows, schema=schema)


def moment(day: int) -> dt.datetime:
    return dt.datetime(2026, 1, 1) + dt.timedelta(days=day)  # noqa: DTZ001 - as stored


class Books:
    """A ledger and a vault with what consents and receipts say."""

    def __init__(self, root: Path) -> None:
        home = CrmHome(root).ensure()
        self.ledger, self.vault = open_ledger(home), open_vault(home)

    def receipt(self, day: int, **changes: Any):
        row = {
            "record_id": f"{day:032x}",
            "channel": "sms",
            "account_channel": "tmall",
            "source_customer_id": "t1",
            "receipt_kind": "unsubscribed",
            "message_id": f"m{day}",
            "occurred_at": moment(day),
            "known_at": moment(day),
            **changes,
        }
        table = table_of("message_receipts", [row])
        return post_opt_outs(self.ledger, table, key=KEY, feed="sms", file_sha256="f")

    def consent(self, day: int, action: str = "granted", **changes: Any):
        row = {
            "record_id": f"{action}{day}",
            "channel": "consent_center",
            "account_channel": "tmall",
            "source_customer_id": "t1",
            "contact_kind": "phone",
            "contact_value": PHONE,
            "purpose": "marketing",
            "consent_channel": "sms",
            "action": action,
            "occurred_at": moment(day),
            "known_at": moment(day),
            **changes,
        }
        table = table_of("consents", [row])
        return post_consents(
            self.ledger, self.vault, table, key=KEY, feed="centre", file_sha256="c"
        )

    def may_send(self, channel: str = "sms") -> bool:
        """As the batch asks: the address agreed, and nothing of the account withdrew since."""
        token = tokenise_contact("phone", PHONE, key=KEY).token
        with self.ledger.connect() as connection:
            accounts = {"person": [("tmall", "t1")]}
            return bool(
                find_usable(connection, [("person", token)], accounts, "marketing", channel)
            )

    def events(self) -> list[Any]:
        with self.ledger.connect() as connection:
            return list(connection.execute(sa.select(consents).order_by(consents.c.occurred_at)))


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books(tmp_path)


@pytest.mark.bad_input("B87")
@pytest.mark.parametrize(
    "reply",
    [
        *("R", "r", "TD", "ＴＤ", "t d", " T.D ", "T\u200bD", "N", "0000", "STOP"),
        *("退订", "退 订", "回T退订", "拒收", "别发了", "please unsubscribe me", "？", "啊"),
        *(
            "回覆退訂短信",
            "请取消订阅",
            "不要再发了啊",
            "不要发给我",
            "请勿扰我谢谢",
            "这是骚扰短信",
        ),
        *("I want to opt out", "tuiding", "please stop it"),
        *(
            "QUIT",
            "Cancel",
            "end",
            "revoke",
            "别再发了",
            "请不要打扰我",
            "我不想收到",
            "不需要，谢谢",
        ),
    ],
)
def test_an_opt_out_is_understood_in_every_spelling_and_so_is_what_is_unclear(reply: str) -> None:
    assert is_opt_out(reply)


@pytest.mark.bad_input("B87")
@pytest.mark.parametrize(
    "reply", [None, "", "  ", "好的", "OK", "1", "什么时候到货？", "谢谢！", "请问有蓝色的吗"]
)
def test_an_answer_or_a_question_is_no_opt_out(reply: str | None) -> None:
    assert not is_opt_out(reply)


@pytest.mark.bad_input("B87")
def test_a_reply_withdraws_the_consent_of_the_account_for_that_channel(books: Books) -> None:
    books.consent(1)
    assert books.may_send()
    told = books.receipt(3, receipt_kind="delivered", reply_text="ｔｄ")
    assert (told.found_count, told.posted_count, told.unplaced_count) == (1, 1, 0)
    assert not books.may_send()


@pytest.mark.bad_input("B86")
@pytest.mark.requirement("PRV-1")
@pytest.mark.parametrize("order", ["consents first", "receipts first"])
def test_an_opt_out_finds_its_account_whichever_file_comes_first(books: Books, order: str) -> None:
    posts = [lambda: books.consent(1), lambda: books.receipt(3)]
    for post in posts if order == "consents first" else reversed(posts):
        post()
    assert not books.may_send()


@pytest.mark.requirement("PRV-1")
def test_a_later_grant_ends_the_opt_out(books: Books) -> None:
    books.consent(1)
    books.receipt(3)
    books.consent(5)
    assert books.may_send()


def test_other_receipts_say_nothing(books: Books) -> None:
    books.consent(1)
    told = books.receipt(3, receipt_kind="clicked", reply_text="好的")
    assert told.found_count == 0
    assert books.may_send()


def test_the_same_receipts_again_change_nothing(books: Books) -> None:
    assert books.receipt(3).posted_count == 1
    assert books.receipt(3).posted_count == 0
    assert len(books.events()) == 1


def test_an_opt_out_without_account_is_counted_and_not_booked(books: Books) -> None:
    told = books.receipt(3, source_customer_id=None)
    assert (told.found_count, told.posted_count, told.unplaced_count) == (1, 0, 1)


def test_an_opt_out_by_a_channel_nobody_knows_counts_for_every_channel(books: Books) -> None:
    books.consent(1)
    books.receipt(3, channel="pigeon")
    assert [event.consent_channel for event in books.events()] == ["sms", "*"]
    assert not books.may_send()


def test_without_an_account_channel_the_account_is_the_channels_own(books: Books) -> None:
    books.receipt(3, account_channel=None, channel="wecom")
    (event,) = books.events()
    assert (event.channel, event.contact_kind, event.consent_channel) == ("wecom",) * 3


@pytest.mark.requirement("PRV-1")
def test_the_consent_centre_books_for_the_channel_whose_account_is_meant(books: Books) -> None:
    books.consent(1)
    books.consent(2, account_channel=None)
    assert [event.channel for event in books.events()] == ["tmall", "consent_center"]


def test_a_deployment_books_the_opt_outs_of_receipts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_TIMEZONE", "Asia/Shanghai")
    monkeypatch.setenv("CRM_CURRENCY", "CNY")
    deployment = Deployment(home=str(tmp_path))
    said = {"source_customer_id": "t1", "channel": "sms", "message_id": "m"}
    times = {"occurred_at": moment(1), "known_at": moment(1)}
    rows = [
        {**said, **times, "record_id": "a", "receipt_kind": "delivered"},
        {**said, **times, "record_id": "b", "receipt_kind": "delivered", "reply_text": "退订"},
    ]
    table = table_of("message_receipts", rows)
    deployment.post_consents(table, feed="sms_receipts", file_sha256="f")
    with deployment.ledger.connect() as connection:
        (event,) = connection.execute(sa.select(consents)).all()
    assert (event.evidence, event.is_granted, event.feed) == ("receipt b", False, "sms_receipts")


@pytest.mark.parametrize("kind", ["wecom", "push"])
def test_the_ids_of_providers_are_kept_as_they_are(kind: str) -> None:
    value = "wmQ3x_9kZ-0011223344"
    assert normalise_contact(kind, f" {value}\u200b") == (value, None)
    assert normalise_contact(kind, "not an id") == (None, kind)
    assert normalise_contact(kind, "无") == (None, kind)
    contact = tokenise_contact(kind, value, key=KEY)
    assert contact.is_usable and contact.mask == "wm***44"
    assert contact.token != tokenise_contact(kind, value.lower(), key=KEY).token


def test_an_accounts_own_token_is_no_address() -> None:
    contact = account_contact("phone", "tmall", "t1", key=KEY)
    assert not contact.is_usable and contact.token.startswith("k1x_")
    others = [("email", "tmall", "t1"), ("phone", "jd", "t1"), ("phone", "tmall", "t2")]
    tokens = {contact.token} | {account_contact(*other, key=KEY).token for other in others}
    assert len(tokens) == len(others) + 1
