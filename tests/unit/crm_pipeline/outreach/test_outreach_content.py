"""Words put to decisions: nothing blank, nothing unfit, every text with every extreme of values."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from crm_pipeline.lib.errors import OutreachError
from crm_pipeline.lib.outreach.content import (
    ContentLibrary,
    check_coverage,
    find_gaps,
    load_content,
    render_message,
    render_messages,
)
from crm_pipeline.lib.outreach.journey import JourneySpec, load_journeys
from crm_pipeline.lib.outreach.template import TemplateError, sms_parts
from crm_pipeline.lib.rules.content_library import LONGEST_BRAND, Content, resolve
from crm_pipeline.lib.rules.content_variables import variables_of

pytestmark = pytest.mark.requirement("OUT-6")

ROOT = Path(__file__).resolve().parents[4]
BRAND = "小树苗"


@pytest.fixture(scope="module")
def library() -> ContentLibrary:
    return load_content(ROOT / "dbt_project" / "seeds")


def decisions(*rows: tuple[str, dict[str, object] | None]) -> pa.Table:
    return pa.table(
        {
            "decision_id": [f"d{place}" for place in range(len(rows))],
            "content_id": [content_id for content_id, _ in rows],
            "variables": pa.array(
                [None if values is None else json.dumps(values) for _, values in rows], pa.string()
            ),
        }
    )


def test_every_text_can_be_rendered_with_the_longest_the_shortest_and_hostile_values(
    library: ContentLibrary,
) -> None:
    hostile = "<b>{x}</b>\n=cmd|'%s"
    for content in library.contents.values():
        known = variables_of(content.scene, library.variables)
        policy = library.policies[content.policy_key]
        for values in (
            {name: known[name].longest(content.language) for name in known},
            dict.fromkeys(known, "1"),
            {name: hostile[: known[name].max_signs] for name in known},
        ):
            subject, body = render_message(library, content, values, LONGEST_BRAND)
            assert body.startswith(policy.signature.replace("{brand}", LONGEST_BRAND))
            opt_out = policy.opt_out.replace("\\n", "\n").replace("{brand}", LONGEST_BRAND)
            assert body.endswith(opt_out)
            assert bool(subject) == (policy.max_subject_signs is not None)
            assert "\n" not in subject
            assert policy.max_parts is None or sms_parts(body) <= policy.max_parts
            report = render_messages(decisions((content.content_id, values)), library, BRAND)
            assert report.refused.num_rows == 0, report.refused.to_pylist()


def test_every_text_without_one_of_its_variables_is_refused(library: ContentLibrary) -> None:
    for content in library.contents.values():
        for missing in content.variables:
            values = dict.fromkeys(content.variables - {missing}, "x")
            with pytest.raises(TemplateError, match=f"blank: {missing}"):
                render_message(library, content, values, BRAND)


def test_a_whole_batch_reads_as_single_messages_do(library: ContentLibrary) -> None:
    chosen = [
        (content.content_id, dict.fromkeys(content.variables, f"v{place}"))
        for place, content in enumerate(library.contents.values())
    ]
    made = render_messages(decisions(*chosen), library, BRAND).messages.to_pylist()
    for row, (content_id, values) in zip(made, chosen, strict=True):
        alone = render_message(library, library.contents[content_id], values, BRAND)
        assert (row["subject"], row["body"]) == alone


@pytest.mark.bad_input("B78")
@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"product_name": " "}, "blank_variable:product_name"),
        ({}, "blank_variable:product_name"),
        (None, "blank_variable:product_name"),
        ({"product_name": "奶" * 200}, "too_long"),
        ({"product_name": "全网最低奶瓶"}, "forbidden_word"),
    ],
)
def test_what_is_unfit_is_refused_with_a_reason_and_the_others_go(
    library: ContentLibrary, values: dict[str, object] | None, reason: str
) -> None:
    good = ("cart_rescue_reminder_sms_zh", {"product_name": "奶瓶"})
    report = render_messages(decisions(good, (good[0], values), good), library, BRAND)
    assert report.messages["decision_id"].to_pylist() == ["d0", "d2"]
    assert report.messages["body"].to_pylist()[0] == (
        "【小树苗】奶瓶还在您的购物车里，打开即可继续结算。拒收请回复R"
    )
    assert report.refused.to_pylist() == [
        {"decision_id": "d1", "content_id": good[0], "reason": reason}
    ]


def test_an_unknown_text_and_unreadable_variables_are_refused(library: ContentLibrary) -> None:
    table = decisions(("gone", {}), ("birthday_care_wish_sms_zh", None)).set_column(
        2, "variables", pa.array([None, "[1"], pa.string())
    )
    report = render_messages(table, library, BRAND)
    assert report.refused["reason"].to_pylist() == ["unknown_content", "variables_unreadable"]
    assert report.messages.num_rows == 0


@pytest.mark.parametrize("brand", ["", "  ", "\u200b"])
def test_nothing_leaves_unsigned(library: ContentLibrary, brand: str) -> None:
    with pytest.raises(OutreachError, match="no brand is set"):
        render_messages(decisions(), library, brand)


@pytest.mark.bad_input("B74")
def test_values_are_escaped_where_the_policy_says_html(library: ContentLibrary) -> None:
    content = library.contents["review_invitation_invite_email_product_en"]
    html = {**library.policies}
    html[content.policy_key] = replace(library.policies[content.policy_key], text_format="html")
    shown = replace(library, policies=html)
    values: dict[str, object] = {"product_name": "<img src=x onerror=alert(1)>"}
    report = render_messages(decisions((content.content_id, values)), shown, "Tea & <b>")
    body = report.messages["body"].to_pylist()[0]
    assert "<img" not in body and "<b>" not in body
    assert "&lt;img src=x onerror=alert(1)&gt;" in body and "Tea &amp; &lt;b&gt;" in body
    assert "<br>" in body
    assert body == render_message(shown, content, values, "Tea & <b>")[1]


def test_the_own_tier_comes_before_all_and_the_richer_text_before_the_poorer(
    library: ContentLibrary,
) -> None:
    def chosen(tier: str, *filled: str) -> str | None:
        place = (list(library.contents.values()), "cart_rescue_reminder", "push", "en")
        found = resolve(*place, tier, frozenset(filled))
        return found.content_id if found else None

    assert chosen("gold", "product_name") == "cart_rescue_reminder_push_en"
    assert chosen("gold", "product_name", "stock_left") == "cart_rescue_reminder_push_stock_en"
    assert chosen("core", "product_name") == "cart_rescue_reminder_push_core_en"
    assert chosen("new", "product_name", "stock_left") == "cart_rescue_reminder_push_new_en"
    assert chosen("core") is None


def journey(**changes: object) -> JourneySpec:
    said: dict[str, object] = {
        "journey": "cart_rescue",
        "description": "Reminds of a cart.",
        "audience": "activation.cart_rescue_audience",
        "steps": [{"step": "reminder", "channels": ["push", "sms"]}],
        "variables": ["product_name", "stock_left"],
    }
    return JourneySpec.model_validate({**said, **changes})


def test_a_missing_text_is_told_by_tier_channel_and_language(library: ContentLibrary) -> None:
    assert find_gaps(library, [journey()]) == []
    fewer = {
        key: content
        for key, content in library.contents.items()
        if key != "cart_rescue_reminder_sms_en"
    }
    gaps = [str(gap) for gap in find_gaps(replace(library, contents=fewer), [journey()])]
    assert "cart_rescue/reminder: all, sms, en" in gaps
    assert len(gaps) == 1 + len(library.tiers)  # no tier has an SMS of its own


def test_a_text_that_only_speaks_with_a_value_that_may_lack_is_no_text(
    library: ContentLibrary,
) -> None:
    def drop(content: Content) -> bool:
        return content.scene == "review_invitation_invite" and not content.variables

    fewer = {key: content for key, content in library.contents.items() if not drop(content)}
    with pytest.raises(OutreachError, match="review_invitation/invite: all, sms, zh-CN"):
        check_coverage(
            replace(library, contents=fewer),
            [
                journey(
                    journey="review_invitation",
                    steps=[{"step": "invite", "channels": ["sms"]}],
                    variables=["product_name"],
                )
            ],
        )


def test_every_shipped_journey_has_a_text_for_every_tier_channel_and_language(
    library: ContentLibrary,
) -> None:
    check_coverage(library, load_journeys(ROOT / "crm_pipeline" / "defs"))


def test_a_hundred_thousand_messages_take_seconds(library: ContentLibrary) -> None:
    """A second on an idle machine; the limit leaves room for a busy one."""
    chosen = list(library.contents.values())
    rows = [
        (content.content_id, {name: str(place) for name in content.variables})
        for place, content in zip(range(100_000), chosen * 500, strict=False)
    ]
    table = decisions(*rows)
    started = time.process_time()
    report = render_messages(table, library, BRAND)
    assert report.messages.num_rows == 100_000
    assert time.process_time() - started < 6
