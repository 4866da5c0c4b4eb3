"""Every adapter against every fault of a real server."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import replace
from email import message_from_string
from email.policy import default
from pathlib import Path

import pytest

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.outreach.adapters import open_adapter
from crm_pipeline.lib.outreach.adapters.http import Patience
from crm_pipeline.lib.outreach.adapters.protocol import Adapter, Delivery
from crm_pipeline.lib.outreach.adapters.webhook import sign_body
from crm_pipeline.lib.outreach.adapters.wecom import WecomProvider
from crm_pipeline.lib.outreach.message import Message
from tests.unit.crm_pipeline.outreach.delivery_servers import (
    HttpProvider,
    SmtpProvider,
    free_port,
    running,
)

pytestmark = pytest.mark.requirement("OUT-7")

SECRETS = {"HOOK_SECRET": "hook secret", "SMS_SECRET": "sms secret", "CORP_SECRET": "corp secret"}
MAIL = {"from": "care@shop.example", "unsubscribe": "https://shop.example/leave"}
MESSAGE = Message(
    message_id="0123456789abcdef0123456789abcdef",
    decision_id="d1",
    customer_id="c1",
    journey="win_back",
    step="offer",
    occurrence="2026-06",
    consent_channel="email",
    purpose="marketing",
    message_tag="promotion",
    contact_token="k1_token",
    contact_mask="p***@example.org",
    content_id="win_back_offer",
    content_version="1",
    language="zh-CN",
    subject="好久不见，您好",
    body="我们想念您。\n.一行以点开头\n退订请回复 TD",
    planned_send_at=dt.datetime(2026, 7, 1, 2),  # noqa: DTZ001 - as stored
    valid_until=dt.datetime(2026, 7, 4, 2),  # noqa: DTZ001
    guide_id="li",
    reader="customer",
)


class Waits:
    """Sleeps no second, and remembers how long it would have."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.patience = Patience(
            connect_seconds=0.5,
            answer_seconds=0.4,
            max_wait_seconds=5,
            sleep=self.seconds.append,
            jitter=lambda: 1.0,
        )


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[HttpProvider]:
    server = HttpProvider(tmp_path)
    with running(server):
        yield server


@pytest.fixture
def mail(tmp_path: Path) -> Iterator[SmtpProvider]:
    server = SmtpProvider(tmp_path)
    with running(server):
        yield server


def opened(channel: str, url: str, waits: Waits) -> Adapter:
    environment = {f"CRM_DELIVERY_{channel.upper()}": url, **SECRETS}
    adapter = open_adapter(channel, environment, patience=waits.patience)
    assert not isinstance(adapter, WecomProvider)
    return adapter


def hook(web: HttpProvider, waits: Waits, **options: str) -> Adapter:
    url = web.url("webhook", secret_env="HOOK_SECRET", **options)
    return opened("push", url, waits)


def sms(web: HttpProvider, waits: Waits) -> Adapter:
    url = web.url("sms", secret_env="SMS_SECRET", app_id="a", signature="Shop")
    return opened("sms", url, waits)


def post(web: HttpProvider, waits: Waits, *script: str, **options: str) -> Delivery:
    web.script.set(*script)
    return hook(web, waits, **options).deliver(MESSAGE, "device-1")


# ------------------------------------------------------------------------------------ web hook


def test_a_web_hook_carries_a_signature_and_the_message_id_as_its_key(
    web: HttpProvider, waits: Waits
) -> None:
    delivery = post(web, waits, "accept")
    assert delivery == Delivery("accepted", f"p-{MESSAGE.message_id}")
    _, headers, body = web.calls[0]
    assert headers["Idempotency-Key"] == MESSAGE.message_id
    timestamp = headers["X-CRM-Timestamp"]
    assert headers["X-CRM-Signature"] == sign_body("hook secret", timestamp, body)
    assert headers["X-CRM-Signature"] != sign_body("another", timestamp, body)
    assert json.loads(body)["body"] == MESSAGE.body


@pytest.mark.bad_input("F23")
@pytest.mark.parametrize("word", ["status:429", "status:503:1", "status:425", "status:408"])
def test_what_certainly_nobody_took_is_tried_again_and_accepted_once(
    web: HttpProvider, waits: Waits, word: str
) -> None:
    assert post(web, waits, word, word, "accept").outcome == "accepted"
    assert len(web.calls) == 3
    assert web.log.ids() == [MESSAGE.message_id]


@pytest.mark.bad_input("F23")
def test_the_provider_s_wish_to_wait_is_followed(web: HttpProvider, waits: Waits) -> None:
    assert post(web, waits, "status:429:3", "accept").outcome == "accepted"
    assert waits.seconds == [3.0]


@pytest.mark.bad_input("F23")
def test_a_long_wait_is_the_next_run_s_business(web: HttpProvider, waits: Waits) -> None:
    assert post(web, waits, "status:429:3600") == Delivery(
        "refused", detail="status_429", retry_after=3600.0
    )
    assert waits.seconds == []


@pytest.mark.bad_input("F23")
def test_a_refused_connection_is_tried_a_bounded_number_of_times(waits: Waits) -> None:
    url = f"webhook+http://127.0.0.1:{free_port()}/in?allow=loopback&secret_env=HOOK_SECRET"
    delivery = opened("push", url, waits).deliver(MESSAGE, "device-1")
    assert delivery == Delivery("refused", detail="connect")
    assert waits.seconds == [0.5, 1.0]


@pytest.mark.bad_input("F23")
def test_an_unknown_name_is_refused(waits: Waits) -> None:
    url = "webhook+https://nobody.invalid/in?secret_env=HOOK_SECRET"
    assert opened("push", url, waits).deliver(MESSAGE, "device-1").detail == "dns"


@pytest.mark.bad_input("F23")
def test_a_server_without_tls_gets_nothing(web: HttpProvider, waits: Waits) -> None:
    url = web.url("webhook", secret_env="HOOK_SECRET").replace("+http:", "+https:")
    assert opened("push", url, waits).deliver(MESSAGE, "device-1") == Delivery(
        "refused", detail="tls"
    )
    assert web.log.ids() == []


@pytest.mark.bad_input("F24")
@pytest.mark.parametrize(
    ("word", "accepted"),
    [
        ("drop_before", 0), ("drop_after", 1), ("hold_before", 0), ("hold_after", 1),
        ("status:500", 0), ("status_after:500", 1), ("status:502", 0), ("status:503", 0),
        ("status:409", 0), ("garbage_before", 0), ("garbage_after", 1),
    ],
)  # fmt: skip
def test_what_was_perhaps_taken_is_uncertain_and_never_tried_again(
    web: HttpProvider, waits: Waits, word: str, accepted: int
) -> None:
    assert post(web, waits, word, "accept").outcome == "uncertain"
    assert len(web.calls) == 1
    assert len(web.log.ids()) == accepted


@pytest.mark.bad_input("F24")
def test_a_declared_idempotent_receiver_is_asked_again_under_the_same_key(
    web: HttpProvider, waits: Waits
) -> None:
    assert post(web, waits, "drop_before", "accept", idempotent="true").outcome == "accepted"
    assert {headers["Idempotency-Key"] for _, headers, _ in web.calls} == {MESSAGE.message_id}


@pytest.mark.bad_input("F24")
@pytest.mark.parametrize("later", ["status:429", "status:400", "drop_before"])
def test_once_uncertain_only_an_acceptance_makes_it_certain(
    web: HttpProvider, waits: Waits, later: str
) -> None:
    delivery = post(web, waits, "drop_after", later, idempotent="true")
    assert delivery.outcome == "uncertain"


@pytest.mark.parametrize("status", [400, 404, 422, 413])
def test_a_definite_no_is_rejected_and_not_tried_again(
    web: HttpProvider, waits: Waits, status: int
) -> None:
    assert post(web, waits, f"status:{status}").outcome == "rejected"
    assert len(web.calls) == 1


@pytest.mark.parametrize("status", [301, 307, 401, 403])
def test_a_redirect_is_not_followed_and_a_wrong_secret_not_repeated(
    web: HttpProvider, waits: Waits, status: int
) -> None:
    assert post(web, waits, f"status:{status}").outcome == "refused"
    assert len(web.calls) == 1


def test_a_slow_answer_within_the_time_out_counts(web: HttpProvider, waits: Waits) -> None:
    assert post(web, waits, "slow:0.1").outcome == "accepted"


def test_an_acceptance_needs_no_readable_body(web: HttpProvider, waits: Waits) -> None:
    assert post(web, waits, "nonsense_after") == Delivery("accepted")


# ------------------------------------------------------------------------------ configuration


@pytest.mark.bad_input("B81")
@pytest.mark.parametrize(
    "url",
    [
        "webhook+https://169.254.169.254/in?secret_env=HOOK_SECRET",
        "webhook+https://metadata.google.internal/in?secret_env=HOOK_SECRET",
        "webhook+http://127.0.0.1/in?secret_env=HOOK_SECRET",
        "webhook+http://hooks.example.com/in?secret_env=HOOK_SECRET",
        "webhook+https://2130706433/in?secret_env=HOOK_SECRET",
        "webhook+file:///etc/passwd?secret_env=HOOK_SECRET",
        "smtp://169.254.169.254?from=a@b.example&unsubscribe=https://b.example",
    ],
)
def test_forbidden_addresses_are_refused(url: str) -> None:
    channel = "email" if url.startswith("smtp") else "push"
    with pytest.raises(ConfigError, match=f"CRM_DELIVERY_{channel.upper()}"):
        open_adapter(channel, {f"CRM_DELIVERY_{channel.upper()}": url, **SECRETS})


def test_a_name_that_leads_to_this_machine_gets_nothing(waits: Waits) -> None:
    adapter = opened("push", "webhook+https://localhost.localdomain/?secret_env=HOOK_SECRET", waits)
    assert adapter.deliver(MESSAGE, "device-1").detail in ("forbidden_address", "dns")


@pytest.mark.bad_input("B82")
@pytest.mark.parametrize(
    "url",
    ["webhook+https://h.example/in?secret=abc", "smtp://me:pw@h.example?from=a@b.example"],
)
def test_a_pasted_secret_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="holds a secret") as caught:
        open_adapter("email", {"CRM_DELIVERY_EMAIL": url})
    assert "abc" not in str(caught.value)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("channel", "url", "problem"),
    [
        ("sms", "smtp://h.example?from=a@b.example", "no adapter of sms"),
        ("push", "webhook+https://h.example/in?secret_env=NONE", "no NONE"),
        ("push", "webhook+https://h.example/in?retries=9", "unknown: 'retries'"),
        ("push", "webhook+https://h.example/in?secret_env=HOOK_SECRET&idempotent=yes", "neither"),
        ("email", "smtp://h.example?from=a@b.example", "no unsubscribe"),
        ("email", "smtp://h.example?from=nobody&unsubscribe=https://h.example", "no address"),
        ("fax", "file:csv", "no channel 'fax'"),
    ],
)
def test_an_address_that_says_something_else_is_refused(
    channel: str, url: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        open_adapter(channel, {f"CRM_DELIVERY_{channel.upper()}": url, **SECRETS})


# ----------------------------------------------------------------------------------------- SMS


def test_a_text_goes_to_a_number_in_e164_with_its_signature(
    web: HttpProvider, waits: Waits
) -> None:
    assert sms(web, waits).deliver(MESSAGE, "+8613912345678").outcome == "accepted"
    _, headers, body = web.calls[0]
    fields = json.loads(body)
    assert (fields["phone"], fields["signature"]) == ("+8613912345678", "Shop")
    assert headers["X-CRM-Signature"] == sign_body("sms secret", headers["X-CRM-Timestamp"], body)


@pytest.mark.parametrize("address", ["13912345678", "+86139x", "", "+8613912345678\r\nX: 1"])
def test_what_is_no_number_is_rejected_before_the_call(
    web: HttpProvider, waits: Waits, address: str
) -> None:
    assert sms(web, waits).deliver(MESSAGE, address).outcome == "rejected"
    assert web.calls == []


@pytest.mark.bad_input("F24")
@pytest.mark.parametrize(
    ("word", "outcome"),
    [
        ("code:isv.MOBILE_NUMBER_ILLEGAL", "rejected"),
        ("code:isv.BUSINESS_LIMIT_CONTROL", "refused"),
        ("code:isv.AMOUNT_NOT_ENOUGH", "refused"),
        ("code:isp.SYSTEM_ERROR", "uncertain"),
        ("code:something.NEW", "uncertain"),
        ("nonsense_after", "uncertain"),
        ("drop_after", "uncertain"),
        ("hold_after", "uncertain"),
        ("status_after:500", "uncertain"),
        ("status:400", "rejected"),
    ],
)
def test_each_code_of_a_gateway_proves_what_the_table_says(
    web: HttpProvider, waits: Waits, word: str, outcome: str
) -> None:
    web.script.set(word, "accept")
    assert sms(web, waits).deliver(MESSAGE, "+8613912345678").outcome == outcome
    assert len(web.calls) == 1


# ---------------------------------------------------------------------------------------- mail


def mailer(mail: SmtpProvider, waits: Waits) -> Adapter:
    return opened("email", mail.url(**MAIL), waits)


def test_a_mail_has_an_envelope_of_its_own_and_a_way_to_leave(
    mail: SmtpProvider, waits: Waits
) -> None:
    delivery = mailer(mail, waits).deliver(MESSAGE, "p1@example.org")
    assert delivery == Delivery("accepted", "Q12345")
    (line,) = mail.log.read()
    assert line["contact"] == "p1@example.org"
    sent = message_from_string(line["body"], policy=default)
    assert sent["Subject"] == MESSAGE.subject
    assert sent["Message-ID"] == f"<{MESSAGE.message_id}@shop.example>"
    leave = f"<https://shop.example/leave?m={MESSAGE.message_id}>"
    assert sent["List-Unsubscribe"].strip() == leave
    assert sent["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert sent.get_content().splitlines() == MESSAGE.body.splitlines()


@pytest.mark.bad_input("F24")
@pytest.mark.parametrize(
    ("word", "outcome", "accepted"),
    [
        ("no_service", "refused", 0), ("drop_greeting", "refused", 0), ("mail:451", "refused", 0),
        ("mail:550", "refused", 0), ("mail:drop", "refused", 0), ("rcpt:450", "refused", 0),
        ("rcpt:550", "rejected", 0), ("rcpt:drop", "refused", 0), ("data:451", "refused", 0),
        ("data:554", "rejected", 0), ("data:drop", "refused", 0), ("dot:451", "refused", 0),
        ("dot:552", "rejected", 0), ("dot:200", "uncertain", 0), ("drop_in_data", "uncertain", 0),
        ("drop_before", "uncertain", 0), ("drop_after", "uncertain", 1),
        ("hold_after", "uncertain", 1),
    ],
)  # fmt: skip
def test_each_phase_of_a_mail_proves_what_the_table_says(
    mail: SmtpProvider, waits: Waits, word: str, outcome: str, accepted: int
) -> None:
    before_the_mail = ("no_service", "drop_greeting")
    mail.script.set(*([word] * 3 if word in before_the_mail else [word, "accept"]))
    assert mailer(mail, waits).deliver(MESSAGE, "p1@example.org").outcome == outcome
    assert len(mail.log.ids()) == accepted


@pytest.mark.bad_input("F23")
def test_a_mail_server_that_comes_back_gets_the_mail_once(mail: SmtpProvider, waits: Waits) -> None:
    mail.script.set("drop_greeting", "accept")
    assert mailer(mail, waits).deliver(MESSAGE, "p1@example.org").outcome == "accepted"
    assert mail.log.ids() == [MESSAGE.message_id]


@pytest.mark.parametrize(
    "address", ["p1@example.org\r\nBcc: x@example.org", "a@b, c@d", "<a@b>", "nobody", "a b@c"]
)
def test_an_address_cannot_add_recipients_or_headers(
    mail: SmtpProvider, waits: Waits, address: str
) -> None:
    assert mailer(mail, waits).deliver(MESSAGE, address).outcome == "rejected"
    assert mail.log.ids() == []


def test_a_subject_cannot_add_headers(mail: SmtpProvider, waits: Waits) -> None:
    message = dataclasses.replace(MESSAGE, subject="Hello\r\nBcc: x@example.org")
    assert mailer(mail, waits).deliver(message, "p1@example.org").detail == "header"
    assert mail.log.ids() == []


def test_a_mail_server_beyond_this_machine_must_encrypt(
    mail: SmtpProvider, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = mailer(mail, waits)
    url = dataclasses.replace(adapter.url, options={})  # type: ignore[attr-defined]
    monkeypatch.setattr(
        "crm_pipeline.lib.outreach.adapters.smtp.check_address", lambda *_: None
    )  # as if 127.0.0.1 were far away
    strict = dataclasses.replace(adapter, url=url)  # type: ignore[type-var]
    assert strict.deliver(MESSAGE, "p1@example.org") == Delivery("refused", detail="not_supported")
    assert mail.log.ids() == []


@pytest.mark.parametrize("address", ["+8613912345678", "p1@example.org"])
def test_what_staff_read_is_never_sent_to_a_number_or_an_address(
    web: HttpProvider, mail: SmtpProvider, waits: Waits, address: str
) -> None:
    message = replace(MESSAGE, reader="advisor")
    for adapter in (sms(web, waits), opened("email", mail.url(**MAIL), waits)):
        assert adapter.deliver(message, address) == Delivery("rejected", detail="reader")
    assert web.calls == [] and mail.log.read() == []


def test_a_web_hook_is_told_who_reads_and_gets_no_address_for_staff(
    web: HttpProvider, waits: Waits
) -> None:
    hook(web, waits).deliver(replace(MESSAGE, reader="advisor"), "device-1")
    body = json.loads(web.calls[0][2])
    assert (body["reader"], body["guide_id"], body["contact"]) == ("advisor", "li", None)
    assert (body["customer_id"], body["contact_mask"]) == ("c1", "p***@example.org")
    hook(web, waits).deliver(MESSAGE, "device-1")
    body = json.loads(web.calls[1][2])
    assert (body["reader"], body["contact"]) == ("customer", "device-1")
