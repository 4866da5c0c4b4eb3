"""Mail leaves encrypted, to a server whose certificate is believed, or not at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from crm_pipeline.lib.outreach.adapters import open_adapter
from crm_pipeline.lib.outreach.adapters.http import Patience
from crm_pipeline.lib.outreach.adapters.protocol import Delivery
from crm_pipeline.lib.outreach.adapters.smtp import SmtpAdapter
from tests.unit.crm_pipeline.outreach.delivery_servers import SmtpProvider, running
from tests.unit.crm_pipeline.outreach.mail_certificates import Authority
from tests.unit.crm_pipeline.outreach.test_delivery_adapters import MAIL, MESSAGE

pytestmark = pytest.mark.requirement("OUT-7")

ADDRESS = "p1@example.org"
PATIENCE = Patience(connect_seconds=5, answer_seconds=5, max_attempts=1)
Send = Callable[[SmtpProvider], Delivery]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def send(monkeypatch: pytest.MonkeyPatch) -> Send:
    """Sends one mail as if 127.0.0.1 were far away: there nothing goes in the clear."""
    monkeypatch.setattr("crm_pipeline.lib.outreach.adapters.smtp.check_address", lambda *_: None)

    def deliver(mail: SmtpProvider) -> Delivery:
        url = mail.url(**MAIL)
        adapter = open_adapter("email", {"CRM_DELIVERY_EMAIL": url}, patience=PATIENCE)
        assert isinstance(adapter, SmtpAdapter)
        with running(mail):
            far = dataclasses.replace(adapter, url=dataclasses.replace(adapter.url, options={}))
            return far.deliver(MESSAGE, ADDRESS)

    return deliver


@pytest.mark.parametrize("is_smtps", [False, True], ids=["starttls", "smtps"])
def test_a_mail_goes_encrypted_to_a_server_that_is_believed(
    authority: Authority, send: Send, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    is_smtps: bool,
) -> None:  # fmt: skip
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    mail = SmtpProvider(tmp_path, authority.server_context("127.0.0.1"), is_smtps=is_smtps)
    assert send(mail).outcome == "accepted"
    (line,) = mail.log.read()
    assert (line["contact"], line["is_encrypted"]) == (ADDRESS, True)


@pytest.mark.parametrize("is_smtps", [False, True], ids=["starttls", "smtps"])
@pytest.mark.parametrize(
    ("certified", "is_trusted"), [("127.0.0.1", False), ("127.0.0.2", True)],
    ids=["unknown authority", "another server's"],
)  # fmt: skip
def test_nothing_goes_to_a_server_that_is_not_believed(
    authority: Authority, send: Send, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    is_smtps: bool, certified: str, is_trusted: bool,
) -> None:  # fmt: skip
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    mail = SmtpProvider(tmp_path, authority.server_context(certified), is_smtps=is_smtps)
    assert send(mail) == Delivery("refused", detail="tls")
    assert mail.log.read() == []


def test_a_mail_to_this_machine_alone_may_go_in_the_clear(tmp_path: Path) -> None:
    mail = SmtpProvider(tmp_path)
    adapter = open_adapter("email", {"CRM_DELIVERY_EMAIL": mail.url(**MAIL)}, patience=PATIENCE)
    assert isinstance(adapter, SmtpAdapter)
    with running(mail):
        assert adapter.deliver(MESSAGE, ADDRESS).outcome == "accepted"
    assert [line["is_encrypted"] for line in mail.log.read()] == [False]
