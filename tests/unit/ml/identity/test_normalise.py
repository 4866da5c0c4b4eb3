"""Identifiers as people and machines write them."""

from collections.abc import Callable
from contextlib import suppress

import phonenumbers
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ml.errors import InvalidDataError
from ml.identity import (
    normalise_address_name,
    normalise_alipay_id,
    normalise_column,
    normalise_device_id,
    normalise_email,
    normalise_member_number,
    normalise_open_id,
    normalise_phone,
    normalise_union_id,
)

MOBILE = "+8613912345678"


@pytest.mark.bad_input("B65")
@pytest.mark.parametrize(
    "text",
    [
        "13912345678", " 139 1234 5678 ", "139-1234-5678", "+86 13912345678", "+86-139-1234-5678",
        "008613912345678", "0086 13912345678", "8613912345678", "86 13912345678",
        "１３９１２３４５６７８", "＋８６１３９１２３４５６７８", "'13912345678", "13912345678.0",
        "13912345678\u200b", "\ufeff13912345678", "139\u00a01234\u30005678", "(+86) 13912345678",
    ],
)  # fmt: skip
def test_a_chinese_mobile_has_one_spelling(text: str) -> None:
    assert normalise_phone(text) == (MOBILE, None)


@pytest.mark.bad_input("B65")
@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("010-62345678", "+861062345678"),
        ("(010) 6234 5678", "+861062345678"),
        ("+86 (0)10 6234 5678", "+861062345678"),
        ("0086 10 62345678", "+861062345678"),
        ("+852 5123 4567", "+85251234567"),
        ("852 5123 4567", "+85251234567"),
        ("00853 6612 3456", "+85366123456"),
        ("+886 912 345 678", "+886912345678"),
        ("886912345678", "+886912345678"),
        ("+44 20 7946 0958", "+442079460958"),
    ],
)
def test_landlines_and_other_countries_are_numbers_too(text: str, number: str) -> None:
    assert normalise_phone(text) == (number, None)


@pytest.mark.bad_input("B66")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("138****8000", "masked"), ("138＊＊＊＊8000", "masked"), ("138xxxx8000", "masked"),
        ("138123456789", "invalid"), ("1391234567", "invalid"), ("1.38E+10", "precision"),
        ("13912345678/13812345678", "several"), ("13912345678 13812345678", "several"),
        ("13912345678，010-62345678", "several"), ("62345678", "invalid"), ("95588", "invalid"),
        ("12345678901", "invalid"), ("无", "invalid"), ("", "empty"), ("  ", "empty"),
        (None, "empty"), ("1" * 600, "too_long"),
    ],
)  # fmt: skip
def test_what_is_no_number_never_becomes_a_key(text: str | None, reason: str) -> None:
    assert normalise_phone(text) == (None, reason)


@pytest.mark.bad_input("B66")
def test_numbers_that_are_nobodys_are_well_written() -> None:
    assert normalise_phone("13800138000") == ("+8613800138000", None)  # excluded by the kind


@settings(max_examples=300, deadline=None)
@given(st.from_regex(r"1[0-9]{10}", fullmatch=True))
@example("11000002200")  # the library cannot even read it
def test_the_short_way_for_mobiles_agrees_with_the_library(text: str) -> None:
    expected = None
    with suppress(phonenumbers.NumberParseException):
        parsed = phonenumbers.parse(text, "CN")
        if phonenumbers.is_valid_number(parsed):
            expected = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    assert normalise_phone(text)[0] == expected


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=24) | st.from_regex(r"\+?[0-9 ()*./-]{5,20}", fullmatch=True))
def test_a_phone_is_a_valid_number_and_its_own_spelling(text: str) -> None:
    number, reason = normalise_phone(text)
    assert (number is None) == (reason is not None)
    if number is not None:
        assert phonenumbers.is_valid_number(phonenumbers.parse(number))
        assert normalise_phone(number) == (number, None)


@pytest.mark.bad_input("B67")
@pytest.mark.parametrize(
    ("text", "mailbox"),
    [
        (" Ann.Lee@Example.COM ", "ann.lee@example.com"),
        ("ａｎｎ＠ｅｘａｍｐｌｅ．ｃｏｍ", "ann@example.com"),
        ("ann+shop@example.com", "ann+shop@example.com"),
        ("ann@xn--fsqu00a.com", "ann@例子.com"),
        ("ann@例子.com", "ann@例子.com"),
        ("ann\u200b@example.com", "ann@example.com"),
    ],
)
def test_a_mailbox_has_one_spelling(text: str, mailbox: str) -> None:
    assert normalise_email(text) == (mailbox, None)


@pytest.mark.bad_input("B67")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a@b", "invalid"), ("a..b@example.com", "invalid"), ("example.com", "invalid"),
        ("a b@example.com", "invalid"), ("ann@example.test", "invalid"),
        ("a***@example.com", "masked"), ("a@example.com; b@example.com", "several"),
        ("", "empty"), (None, "empty"),
    ],
)  # fmt: skip
def test_what_is_no_mailbox_says_why(text: str | None, reason: str) -> None:
    assert normalise_email(text) == (None, reason)


@settings(max_examples=200, deadline=None)
@given(st.emails() | st.text(max_size=20))
def test_a_mailbox_is_its_own_spelling(text: str) -> None:
    mailbox, reason = normalise_email(text)
    assert (mailbox is None) == (reason is not None)
    if mailbox is not None:
        assert normalise_email(mailbox) == (mailbox, None)


def test_member_numbers_keep_leading_zeros() -> None:
    assert normalise_member_number(" m00-012 3 ") == ("M000123", None)
    assert normalise_member_number("０００１２３") == ("000123", None)
    assert normalise_member_number("000123.0") == ("000123", None)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("NO.VIP000123", "VIP000123"),
        ("no: vip 0001-23", "VIP000123"),
        ("№.000123", "000123"),
        ("卡号：000123", "000123"),
        ("#000123.0", "000123"),
        ("NO000123", "NO000123"),  # without a sign the letters may be part of the number
    ],
)
def test_the_word_before_a_member_number_is_no_part_of_it(text: str, number: str) -> None:
    assert normalise_member_number(text) == (number, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1.23457E+18", "precision"),
        ("0000", "placeholder"),
        ("12**56", "masked"),
        ("-", "invalid"),
        ("No.", "invalid"),
    ],
)
def test_what_is_no_member_number_says_why(text: str, reason: str) -> None:
    assert normalise_member_number(text) == (None, reason)


@pytest.mark.parametrize(
    "normalise", [normalise_open_id, normalise_union_id, normalise_alipay_id, normalise_device_id]
)
def test_ids_of_providers_keep_their_case(
    normalise: Callable[[str | None], tuple[str | None, str | None]],
) -> None:
    assert normalise(" oXyZ_12-ab\u200b ") == ("oXyZ_12-ab", None)
    assert normalise("2088102146225135") == ("2088102146225135", None)
    assert normalise("2.088E+15") == (None, "precision")
    assert normalise("两个字") == (None, "invalid")
    assert normalise(None) == (None, "empty")


def test_hexadecimal_device_ids_have_one_case_and_zeros_are_no_device() -> None:
    assert normalise_device_id("AB12CD34-0F") == ("ab12cd34-0f", None)
    zeros = "00000000-0000-0000-0000-000000000000"
    assert normalise_device_id(zeros) == (None, "placeholder")


def test_address_and_name_are_one_key() -> None:
    key = ("上海市浦东新区张杨路101号|张三", None)
    assert normalise_address_name("上海市 浦东新区，张杨路１０１号", "张 三") == key
    assert normalise_address_name("上海市浦东新区·张杨路101号", "张三 ") == key
    assert normalise_address_name("12 Main St.", "Ann LEE") == ("12mainst|annlee", None)
    assert normalise_address_name("上海市浦东新区****", "张三") == (None, "masked")
    assert normalise_address_name("上海", "张三") == (None, "too_short")
    assert normalise_address_name("上海市浦东新区", "·") == (None, "too_short")
    assert normalise_address_name(None, "张三") == (None, "empty")


def test_a_column_is_normalised_cell_by_cell() -> None:
    column = pa.chunked_array([["13912345678", None, "138****8000"], ["+8613912345678", ""]])
    found = normalise_column("phone", column)
    assert found.values.to_pylist() == [MOBILE, None, None, MOBILE, None]
    assert found.reasons.to_pylist() == [None, "empty", "masked", None, "empty"]


def test_a_column_of_pairs_keeps_them_apart() -> None:
    found = normalise_column(
        "address_name",
        pa.array(["12 Main St", "12 Main St", None]),
        pa.array(["Ann", "Bea", "Ann"]),
    )
    assert found.values.to_pylist() == ["12mainst|ann", "12mainst|bea", None]


def test_an_empty_column_stays_empty() -> None:
    found = normalise_column("email", pa.array([], pa.string()))
    assert len(found.values) == len(found.reasons) == 0


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(InvalidDataError, match="fax"):
        normalise_column("fax", pa.array(["1"]))
    with pytest.raises(InvalidDataError, match="without names"):
        normalise_column("address_name", pa.array(["1"]))
