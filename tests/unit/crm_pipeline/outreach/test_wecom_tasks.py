"""Group sends of WeCom: created, confirmed by staff, then sent, quota used or not friends."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from batch_support import NOW, People

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.ledger.schema import deliveries, vault, wecom_task_members, wecom_tasks
from crm_pipeline.lib.outreach.adapters import open_adapter
from crm_pipeline.lib.outreach.adapters.http import Patience
from crm_pipeline.lib.outreach.adapters.wecom import WecomProvider
from crm_pipeline.lib.outreach.dispatch import DispatchReport, QuietHours
from crm_pipeline.lib.outreach.message import Message, to_table
from crm_pipeline.lib.outreach.reconcile import reconcile
from crm_pipeline.lib.outreach.release import _refuse_without_app
from crm_pipeline.lib.outreach.wecom_tasks import PollReport, WecomDispatcher, poll_wecom_tasks
from tests.unit.crm_pipeline.outreach.delivery_servers import HttpProvider, repeated, running

SHANGHAI = ZoneInfo("Asia/Shanghai")
NIGHT = QuietHours(dt.time(22), dt.time(8), lambda _: SHANGHAI)
DAY = dt.timedelta(days=1)
pytestmark = pytest.mark.requirement("OUT-7")


@pytest.fixture
def web(tmp_path: Path) -> Iterator[HttpProvider]:
    folder = tmp_path / "provider"
    folder.mkdir()
    server = HttpProvider(folder)
    with running(server):
        yield server


def provider(web: HttpProvider, **options: str) -> WecomProvider:
    url = web.url("wecom", "/", corp_id="corp", secret_env="S", **options)
    environment = {"CRM_DELIVERY_WECOM": url, "S": "corp secret"}
    patience = Patience(0.5, 0.3, max_attempts=2, sleep=lambda _: None)
    opened = open_adapter("wecom", environment, patience=patience)
    assert isinstance(opened, WecomProvider)
    return opened


def friend(person: str) -> str:
    return f"wmfriend{person}"


def make_friends(people: People) -> None:
    """Everybody agrees to WeCom, by an id WeCom gave."""
    for person in people.sources:
        people.say([person], "granted", 3, contact_kind="wecom", contact_value=friend(person),
                   consent_channel="wecom")  # fmt: skip


def task_messages(people: People, *who: str, **changes: Any) -> list[Message]:
    found = []
    with people.vault.connect() as connection:
        rows = connection.execute(sa.select(vault)).all()
    tokens = {row.clear_value: row.token for row in rows}
    for person in who or people.sources:
        values = {"consent_channel": "wecom", "guide_id": "li", "contact_token":
                  tokens[friend(person)], **changes}  # fmt: skip
        found.append(people.message(person, **values))
    return found


def ask(
    people: People, web: HttpProvider, messages: Sequence[Message], now: dt.datetime = NOW,
    **options: str,
) -> DispatchReport:  # fmt: skip
    maker = WecomDispatcher(
        people.home, people.ledger, people.vault, provider(web, **options), NIGHT, SHANGHAI,
        lambda: now,
    )  # fmt: skip
    return maker.dispatch("b1", messages)


def poll(people: People, web: HttpProvider, now: dt.datetime = NOW) -> PollReport:
    return poll_wecom_tasks(people.ledger, people.vault, provider(web), now=now)


def tasks(people: People) -> list[str]:
    with people.ledger.connect() as connection:
        query = sa.select(wecom_tasks.c.state).order_by(wecom_tasks.c.created_at)
        return list(connection.execute(query).scalars())


@pytest.fixture
def friends(people: People) -> People:
    make_friends(people)
    people.batch()
    return people


@pytest.mark.requirement("OUT-8")
def test_a_task_waits_for_staff_and_then_settles_each_customer(
    friends: People, web: HttpProvider
) -> None:
    messages = task_messages(friends)
    ids = {one.message_id: person for one, person in zip(messages, friends.sources, strict=True)}
    report = ask(friends, web, messages)
    assert (report.delivered, report.message_count) == ({"accepted": 4}, 4)
    assert len(web.wecom.tasks) == 1  # one call for the adviser
    assert (tasks(friends), set(friends.states().values())) == (["created"], {"claimed"})
    assert poll(friends, web).settled == {}
    web.wecom.is_confirmed = True
    web.wecom.tasks["task1"] |= {friend("1"): 1, friend("2"): 3, friend("3"): 2}
    assert poll(friends, web).settled == {"sent": 1, "quota_used": 1, "not_friend": 1}
    assert tasks(friends) == ["confirmed"]
    states = {ids[name]: state for name, state in friends.states().items()}
    assert states == {"1": "sent", "2": "refused", "3": "failed", "4": "claimed"}
    web.wecom.tasks["task1"][friend("4")] = 1
    poll(friends, web)
    assert tasks(friends) == ["done"]
    assert poll(friends, web).task_count == 0
    with friends.ledger.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(deliveries)).scalar() == 4


def test_each_adviser_and_text_is_a_task_of_its_own(friends: People, web: HttpProvider) -> None:
    messages = [
        *task_messages(friends, "1", "2"),
        *task_messages(friends, "3", guide_id="wang"),
        *task_messages(friends, "4", body="Another text."),
    ]
    assert ask(friends, web, messages).delivered == {"accepted": 4}
    assert sorted(len(members) for members in web.wecom.tasks.values()) == [1, 1, 2]


def test_a_message_without_adviser_or_address_is_no_task(
    friends: People, web: HttpProvider
) -> None:
    messages = [
        *task_messages(friends, "1", guide_id=None), *friends.messages("2", guide_id="li",
        contact_token="k1_unknown", consent_channel="wecom"),
    ]  # fmt: skip
    assert ask(friends, web, messages).skipped == {"no_adviser": 1, "no_address": 1}
    assert web.wecom.tasks == {}


def test_who_is_no_friend_when_the_task_is_made_is_free_for_the_next_way(
    friends: People, web: HttpProvider
) -> None:
    web.wecom.strangers = {friend("2")}
    report = ask(friends, web, task_messages(friends, "1", "2"))
    assert report.delivered == {"accepted": 1, "rejected": 1}
    assert sorted(friends.states().values()) == ["claimed", "failed"]


@pytest.mark.bad_input("F36")
def test_a_customer_gets_one_group_message_a_day(friends: People, web: HttpProvider) -> None:
    first, second = task_messages(friends, "1"), task_messages(friends, "1", step="second")
    ask(friends, web, first)
    assert ask(friends, web, second).waiting == {"customer_quota": 1}
    evening = NOW + dt.timedelta(hours=10)
    assert ask(friends, web, second, evening).waiting == {"customer_quota": 1}
    assert ask(friends, web, second, NOW + DAY).delivered == {"accepted": 1}
    third = task_messages(friends, "1", step="third", valid_until=NOW + 9 * DAY)
    monthly = ask(friends, web, third, NOW + 2 * DAY, per_customer_month="2")
    assert monthly.waiting == {"customer_quota": 1}


def test_an_adviser_is_not_asked_for_more_than_can_be_done(
    friends: People, web: HttpProvider
) -> None:
    messages = task_messages(friends)
    report = ask(friends, web, messages, per_guide_day="3")
    assert (report.delivered, report.waiting) == ({"accepted": 3}, {"adviser_quota": 1})
    again = ask(friends, web, messages, NOW + DAY, per_guide_day="3")
    assert again.delivered == {"accepted": 1}
    assert not repeated([line["contact"] for line in web.log.read()])


def test_a_quota_the_customer_had_used_lets_the_same_message_go_another_day(
    friends: People, web: HttpProvider
) -> None:
    message = task_messages(friends, "1")
    ask(friends, web, message)
    web.wecom.is_confirmed = True
    web.wecom.tasks["task1"][friend("1")] = 3
    poll(friends, web)
    assert ask(friends, web, message, NOW + DAY).delivered == {"accepted": 1}
    web.wecom.tasks["task2"][friend("1")] = 1
    poll(friends, web)
    assert list(friends.states().values()) == ["sent"]
    assert tasks(friends) == ["done", "done"]


@pytest.mark.bad_input("F24")
@pytest.mark.parametrize("word", ["drop_after", "hold_after", "status_after:500", "nonsense_after"])
def test_a_task_that_was_perhaps_made_is_not_made_again(
    friends: People, web: HttpProvider, word: str
) -> None:
    messages = task_messages(friends)
    web.script.set(word, "accept")
    assert ask(friends, web, messages).delivered == {"uncertain": 4}
    assert ask(friends, web, messages, NOW + DAY).skipped == {"claimed_before": 4}
    assert (len(web.wecom.tasks), tasks(friends)) == (1, ["planned"])
    assert set(friends.states().values()) == {"uncertain"}


@pytest.mark.bad_input("F23")
@pytest.mark.parametrize(
    ("code", "state"), [(45009, "refused"), (40003, "failed"), (99999, "uncertain")]
)
def test_each_code_proves_what_the_table_says(
    friends: People, web: HttpProvider, code: int, state: str
) -> None:
    web.script.set(f"errcode:{code}")
    ask(friends, web, task_messages(friends, "1"))
    assert list(friends.states().values()) == [state]
    assert tasks(friends) == ["planned" if state == "uncertain" else "failed"]


@pytest.mark.bad_input("F23")
@pytest.mark.parametrize(
    "body",
    ["[]", '{"errcode":false}', '{"errcode":[0]}', '{"errcode":{}}', '{"errcode":"0"}', "[" * 9000,
     '{"errcode":0,"msgid":["a"]}', '{"errcode":' + "9" * 5000 + "}"],
)  # fmt: skip
def test_an_answer_that_makes_no_sense_proves_nothing(
    friends: People, web: HttpProvider, body: str
) -> None:
    web.script.set(f"body:{body}")
    ask(friends, web, task_messages(friends, "1"))
    assert list(friends.states().values()) == ["uncertain"]


@pytest.mark.bad_input("F38")
def test_a_token_that_ran_out_is_fetched_once_more(friends: People, web: HttpProvider) -> None:
    asked = provider(web)
    assert asked.create_task("li", [friend("1")], "text").delivery.outcome == "accepted"
    web.wecom.token = "token-2"
    assert asked.create_task("li", [friend("1")], "text").delivery.outcome == "accepted"


def test_a_wrong_secret_asks_for_no_task(friends: People, web: HttpProvider) -> None:
    url = web.url("wecom", "/", corp_id="corp", secret_env="S")
    opened = open_adapter("wecom", {"CRM_DELIVERY_WECOM": url, "S": "wrong"})
    assert isinstance(opened, WecomProvider)
    answer = opened.create_task("li", [friend("1")], "text")
    assert (answer.delivery.outcome, answer.delivery.detail) == ("refused", "token")
    assert web.wecom.tasks == {}


def test_a_task_whose_wait_was_called_uncertain_still_settles(
    friends: People, web: HttpProvider
) -> None:
    ask(friends, web, task_messages(friends, "1"))
    reconcile(friends.ledger, now=NOW + DAY)
    assert list(friends.states().values()) == ["claimed"]  # staff may take their time
    reconcile(friends.ledger, now=NOW + 8 * DAY)
    assert list(friends.states().values()) == ["uncertain"]
    web.wecom.tasks["task1"][friend("1")] = 3
    poll(friends, web, NOW + 8 * DAY)
    assert list(friends.states().values()) == ["refused"]
    with friends.ledger.connect() as connection:
        members = connection.execute(sa.select(wecom_task_members.c.state)).scalars()
        assert list(members) == ["quota_used"]


def test_a_quota_that_is_no_number_is_refused(web: HttpProvider) -> None:
    with pytest.raises(ConfigError, match="no number"):
        provider(web, per_guide_day="many")


@pytest.mark.requirement("OUT-5")
@pytest.mark.bad_input("F35")
def test_no_adviser_is_asked_once_the_evening_has_begun(friends: People, web: HttpProvider) -> None:
    evening = NOW.replace(hour=13, minute=59)  # 21:59 in Shanghai

    def clock() -> dt.datetime:
        return evening + dt.timedelta(minutes=2 * len(web.wecom.tasks))

    maker = WecomDispatcher(
        friends.home, friends.ledger, friends.vault, provider(web), NIGHT, SHANGHAI, clock
    )
    both = [*task_messages(friends, "1"), *task_messages(friends, "2", guide_id="wang")]
    report = maker.dispatch("b1", both)
    assert len(web.wecom.tasks) == 1
    assert (report.delivered, report.waiting) == ({"accepted": 1}, {"quiet_hours": 1})
    assert report.message_count == 2 and len(friends.states()) == 1


# ------------------------------------------------------------------- what the adviser reads


def staff_messages(people: People, *who: str, **changes: Any) -> list[Message]:
    return task_messages(people, *who, reader="advisor", body="Call today.", **changes)


def test_what_an_adviser_reads_goes_to_the_adviser_and_never_to_the_customer(
    friends: People, web: HttpProvider
) -> None:
    messages = staff_messages(friends)
    report = ask(friends, web, messages, agent_id="7")
    assert (report.delivered, report.message_count) == ({"accepted": 4}, 4)
    assert set(friends.states().values()) == {"sent"}
    assert web.wecom.tasks == {} and tasks(friends) == []  # nothing to confirm, no group send
    assert sorted(web.wecom.told) == sorted(
        ("li", f"{one.customer_id} ({one.contact_mask})\nCall today.") for one in messages
    )
    posted = b"".join(path.encode() + body for path, _, body in web.calls)
    assert not [one for one in friends.sources if friend(one).encode() in posted]
    assert not any("add_msg_template" in path for path, _, _ in web.calls)
    assert ask(friends, web, messages, agent_id="7").skipped == {"claimed_before": 4}


def test_a_text_to_the_customer_beside_one_to_the_adviser_stays_a_group_send(
    friends: People, web: HttpProvider
) -> None:
    messages = [*staff_messages(friends, "1", step="call"), *task_messages(friends, "2")]
    assert ask(friends, web, messages, agent_id="7").delivered == {"accepted": 2}
    assert [list(members) for members in web.wecom.tasks.values()] == [[friend("2")]]
    assert [guide for guide, _ in web.wecom.told] == ["li"]


def test_what_an_adviser_reads_needs_an_adviser_who_is_there(
    friends: People, web: HttpProvider
) -> None:
    web.wecom.strangers = {"gone"}
    messages = [*staff_messages(friends, "1", guide_id=None),
                *staff_messages(friends, "2", guide_id="gone")]  # fmt: skip
    report = ask(friends, web, messages, agent_id="7")
    assert (report.skipped, report.delivered) == ({"no_adviser": 1}, {"rejected": 1})
    assert web.wecom.told == [] and web.wecom.tasks == {}


@pytest.mark.bad_input("F24")
@pytest.mark.parametrize("word", ["drop_after", "status_after:500"])
def test_an_adviser_who_was_perhaps_told_is_not_told_again(
    friends: People, web: HttpProvider, word: str
) -> None:
    web.script.set(word, "accept")
    messages = staff_messages(friends, "1")
    assert ask(friends, web, messages, agent_id="7").delivered == {"uncertain": 1}
    assert ask(friends, web, messages, NOW + DAY, agent_id="7").skipped == {"claimed_before": 1}
    assert len(web.wecom.told) == 1


def test_without_an_application_a_batch_to_advisers_is_not_begun(
    friends: People, web: HttpProvider
) -> None:
    way = WecomDispatcher(
        friends.home, friends.ledger, friends.vault, provider(web), NIGHT, SHANGHAI, lambda: NOW
    )
    with pytest.raises(ConfigError, match="no application writes to staff"):
        _refuse_without_app(to_table(staff_messages(friends, "1")), {"wecom": way})
    _refuse_without_app(to_table(task_messages(friends, "1")), {"wecom": way})
