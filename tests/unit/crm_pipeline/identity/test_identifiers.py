"""What delivered texts become: keys, or a reason why they are none."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from crm_pipeline.lib.consent.contacts import tokenise_contact
from crm_pipeline.lib.identity.identifiers import ENTITY_SOURCES, IdentifierColumn, spell
from crm_pipeline.lib.rules.identifier_kinds import KINDS
from ml.identity import IdentifierKind, Semantics

KEY = b"a key of a test, long enough"
COLUMNS = {
    (source.entity, column.name): column for source in ENTITY_SOURCES for column in source.columns
}


def spelled(
    column: IdentifierColumn, *texts: str, scope: str = "", patterns: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    kind = IdentifierKind(column.name, Semantics.EQUALITY_ONLY, 1, exclude_patterns=patterns)
    scopes = pa.array([scope] * len(texts), pa.string())
    found = spell(column, scopes, pa.array(texts, pa.string()), [kind], KEY)
    return found.to_pylist()


@pytest.mark.requirement("IDN-1")
@pytest.mark.bad_input("B65")
def test_one_phone_has_one_token_however_it_is_written_and_the_ledger_knows_it() -> None:
    phone = COLUMNS["accounts", "phone"]
    found = spelled(
        phone, "13812345678", "+86 138 1234 5678", "0086-138-1234-5678", "１３８１２３４５６７８"
    )
    assert {row["state"] for row in found} == {"key"}
    assert {row["token"] for row in found} == {
        tokenise_contact("phone", "13812345678", key=KEY).token
    }
    assert {row["clear_value"] for row in found} == {"+8613812345678"}
    assert len({row["spelling_token"] for row in found}) == 4


@pytest.mark.requirement("IDN-1")
@pytest.mark.bad_input("B66")
@pytest.mark.parametrize(
    ("text", "state"),
    [("138****5678", "masked"), ("12345", "invalid"), ("13812345678/13912345678", "invalid")],
)
def test_what_is_no_number_is_no_key(text: str, state: str) -> None:
    (found,) = spelled(COLUMNS["accounts", "phone"], text)
    assert (found["state"], found["token"], found["mask"], found["clear_value"]) == (
        state, None, None, None,
    )  # fmt: skip


@pytest.mark.requirement("IDN-2")
def test_a_value_the_rule_table_excludes_is_told_and_never_a_key_nor_kept() -> None:
    found, other = spelled(
        COLUMNS["accounts", "phone"], "13800138000", "13912345678", patterns=(r"\+8613800138000",)
    )
    assert found["state"] == "excluded" and found["token"] is not None
    assert found["clear_value"] is None
    assert other["state"] == "key"


def test_a_landline_is_a_kind_of_its_own() -> None:
    found = spelled(COLUMNS["accounts", "phone"], "021-62345678", "13812345678", "+85291234567")
    assert [row["kind"] for row in found] == ["landline", "phone", "phone"]


@pytest.mark.requirement("IDN-1")
def test_an_id_of_one_app_is_compared_within_its_channel_only() -> None:
    openid = COLUMNS["accounts", "openid"]
    assert openid.of_channel
    (one,), (other,) = (
        spelled(openid, "oAbc1234567", scope="app"),
        spelled(openid, "oAbc1234567", scope="mini_program"),
    )
    assert one["token"] != other["token"] and one["spelling_token"] != other["spelling_token"]


def test_only_what_reaches_somebody_again_is_kept_in_the_vault() -> None:
    kept = {column.name for column in COLUMNS.values() if column.kept_in_vault}
    assert kept == {"phone", "email", "unionid", "openid"}
    orders = [column for (entity, _), column in COLUMNS.items() if entity == "orders"]
    assert not any(column.kept_in_vault for column in orders)


@pytest.mark.requirement("PRV-4")
def test_masks_show_no_more_than_the_ends() -> None:
    shown = {
        name: spelled(COLUMNS["accounts", name], text)[0]["mask"]
        for name, text in [
            ("phone", "13812345678"),
            ("email", "Somebody@Example.com"),
            ("unionid", "oUnionOfSomebody"),
            ("address_name", "上海市黄浦区南京东路1号\x1f王小明"),
        ]
    }
    assert shown == {
        "phone": "+86***5678",
        "email": "s***@example.com",
        "unionid": "oU***dy",
        "address_name": "***",
    }


def test_every_kind_of_the_rule_table_comes_from_a_column_and_back() -> None:
    assert {column.name for column in COLUMNS.values()} | {"landline"} == set(KINDS)
