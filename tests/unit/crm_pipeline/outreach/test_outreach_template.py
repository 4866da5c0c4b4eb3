"""One text: what may stand in it, what it becomes, how long an SMS is."""

from __future__ import annotations

import pytest

from crm_pipeline.lib.outreach.template import (
    TemplateError,
    clean_value,
    find_forbidden,
    parse_template,
    render,
    sms_parts,
)

pytestmark = pytest.mark.requirement("OUT-6")


@pytest.mark.bad_input("B77")
@pytest.mark.parametrize(
    "text",
    [
        "{customer.__class__}", "{{customer.__class__}}", "{% for x in y %}", "{name!r}",
        "{name:>99}", "{0}", "{}", "{Name}", "{name[0]}", "open { brace", "shut } brace", "{na me}",
    ],
)  # fmt: skip
def test_an_unsafe_placeholder_is_refused(text: str) -> None:
    with pytest.raises(TemplateError):
        parse_template(text)


@pytest.mark.bad_input("B76")
def test_a_value_that_looks_like_a_placeholder_stays_text() -> None:
    said = render("{a} and {b}", {"a": "{b}", "b": "{{ env_var('KEY') }}"})
    assert said == "{b} and {{ env_var('KEY') }}"


@pytest.mark.bad_input("B78")
@pytest.mark.parametrize("value", [None, "", "  ", "\u200b", "\n\t", "\u202e"])
def test_a_blank_value_never_leaves(value: str | None) -> None:
    with pytest.raises(TemplateError, match="blank: name"):
        render("Dear {name}", {"name": value})


def test_a_missing_value_never_leaves() -> None:
    with pytest.raises(TemplateError, match="blank: name"):
        render("Dear {name}", {})


@pytest.mark.bad_input("B74")
def test_a_value_is_escaped_where_the_channel_is_html() -> None:
    said = render("Tea & {a}\\nnow", {"a": "<script>alert('x')</script>"}, "html")
    assert said == "Tea &amp; &lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;<br>\nnow"


def test_a_value_can_neither_begin_a_line_nor_hide_nor_sign() -> None:
    assert clean_value("tea\r\nBcc: a@b.c") == "tea Bcc: a@b.c"
    assert clean_value("t\u200bea\u202e") == "tea"
    assert clean_value("【别家】奶瓶") == "[别家]奶瓶"
    assert clean_value(3) == "3"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a" * 160, 1), ("a" * 161, 2), ("a" * 306, 2), ("a" * 307, 3), ("€" * 80, 1),
        ("€" * 81, 2), ("奶" * 70, 1), ("奶" * 71, 2), ("奶" * 134, 2), ("奶" * 135, 3),
        ("😀" * 35, 1), ("😀" * 36, 2), ("a" * 69 + "奶", 1), ("a" * 70 + "奶", 2),
    ],
)  # fmt: skip
def test_an_sms_is_counted_as_it_is_paid(text: str, parts: int) -> None:
    assert sms_parts(text) == parts


def test_a_forbidden_word_is_found_however_it_is_written_and_not_where_it_is_allowed() -> None:
    words = (("第一", ("第一次",)), ("the best", ()))
    assert find_forbidden("感谢您的第一次购买", words) is None
    assert find_forbidden("第一次就买到销量第一", words) == "第一"
    assert find_forbidden("ＴＨＥ ＢＥＳＴ tea", words) == "the best"
