"""One contact, one token, however it was spelled."""

from __future__ import annotations

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given
from hypothesis import strategies as st

from crm_pipeline.lib.consent import normalise_contact, tokenise_contact
from ml.identity import normalise_email, normalise_phone

KEY = b"a key for tests only"


@pytest.mark.bad_input("B67")
@pytest.mark.parametrize(
    "value",
    ["ann@example.org", " Ann@Example.ORG ", "ａｎｎ＠example.org", "ann\u200b@example.org"],
)
def test_spellings_of_one_mailbox_share_one_token(value: str) -> None:
    contact = tokenise_contact("email", value, key=KEY)
    assert contact.clear_value == "ann@example.org"
    assert contact.token == tokenise_contact("email", "ann@example.org", key=KEY).token


@pytest.mark.bad_input("B67")
@pytest.mark.parametrize("value", ["a@b", "a..b@example.org", "example.org", "", "   ", "无"])
def test_what_is_no_mailbox_has_no_address_but_a_token(value: str) -> None:
    contact = tokenise_contact("email", value, key=KEY)
    assert not contact.is_usable
    assert contact.reason in ("email", "empty")
    assert contact.token.startswith("k1x_")


@pytest.mark.bad_input("B65")
@pytest.mark.parametrize(
    "value",
    [
        "13912345678",
        "+86 139-1234-5678",
        "008613912345678",
        "8613912345678",
        "１３９１２３４５６７８",
        "'13912345678",
        "(86) 139 1234 5678",
    ],
)
def test_spellings_of_one_mobile_number_share_one_token(value: str) -> None:
    assert normalise_contact("phone", value) == ("+8613912345678", None)


@pytest.mark.bad_input("B66")
@pytest.mark.parametrize(
    "value",
    ["138****8000", "139123456789", "1.38E+10", "13912345678/13912345679", "010-65001234", "abc"],
)
def test_what_is_no_mobile_number_is_refused(value: str) -> None:
    assert normalise_contact("phone", value) == (None, "phone")


def test_identity_knows_people_by_a_landline_and_no_message_goes_there() -> None:
    for value in ("010-65001234", "+86 21 6500 1234"):
        assert normalise_phone(value)[0] is not None
        assert normalise_contact("phone", value) == (None, "phone")


@pytest.mark.bad_input("B66")
def test_a_number_nobody_gave_out_is_no_contact(value: str = "14012345678") -> None:
    contact = tokenise_contact("phone", value, key=KEY)
    assert (contact.is_usable, contact.reason) == (False, "phone")


@given(
    st.from_regex(r"(\+86|86|0086)?[ -]?1[0-9]{2}[ -]?[0-9]{4}[ -]?[0-9]{4}", fullmatch=True)
    | st.from_regex(r"\+?[0-9 ()-]{6,18}", fullmatch=True)
)
def test_a_phone_is_spelled_as_identity_spells_it_or_is_none(value: str) -> None:
    found, _ = normalise_contact("phone", value)
    assert found is None or found == normalise_phone(value)[0]


@given(st.emails() | st.text(max_size=40))
def test_an_address_is_spelled_as_identity_spells_it(value: str) -> None:
    assert normalise_contact("email", value)[0] == normalise_email(value)[0]


@pytest.mark.bad_input("B66")
def test_the_number_of_the_manuals_is_nobody(value: str = "13800138000") -> None:
    assert normalise_contact("phone", value) == (None, "test_number")


def test_a_number_of_another_country_needs_its_code() -> None:
    assert normalise_contact("phone", "+44 7911 123456") == ("+447911123456", None)
    assert normalise_contact("phone", "07911 123456") == (None, "phone")


def test_a_kind_nobody_knows_is_refused() -> None:
    assert normalise_contact("fax", "1234") == (None, "unknown_kind")


@pytest.mark.requirement("PRV-4")
def test_a_token_and_its_mask_do_not_show_the_contact() -> None:
    for kind, clear in (("email", "ann.jones@example.org"), ("phone", "+8613912345678")):
        contact = tokenise_contact(kind, clear, key=KEY)
        shown = f"{contact.token} {contact.mask} {contact!r}"
        assert clear not in shown and "ann.jones" not in shown and "1391234" not in shown
    assert tokenise_contact("email", "ann@example.org", key=KEY).mask == "a***@example.org"


@pytest.mark.requirement("PRV-4")
def test_a_token_depends_on_the_key_and_on_the_kind() -> None:
    tokens = {
        tokenise_contact("email", "ann@example.org", key=KEY).token,
        tokenise_contact("email", "ann@example.org", key=b"another key").token,
        tokenise_contact("phone", "ann@example.org", key=KEY).token,
    }
    assert len(tokens) == 3


@given(
    st.from_regex(r"[a-z0-9.+_-]{1,70}", fullmatch=True),
    st.from_regex(r"[a-z0-9.-]{1,70}", fullmatch=True),
    st.sampled_from(["", ".com", ".cn", ".test", ".local", ".onion", ".arpa", ".c", ".xn--p1ai"]),
)
def test_plain_addresses_are_judged_as_the_library_judges_them(
    local: str, domain: str, ending: str
) -> None:
    value = f"{local}@{domain}{ending}"
    try:
        expected = validate_email(value, check_deliverability=False).normalized.casefold()
    except EmailNotValidError:
        expected = None
    assert normalise_contact("email", value)[0] == expected
