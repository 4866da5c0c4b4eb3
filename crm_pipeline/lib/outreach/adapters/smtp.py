"""Delivery by e-mail: one message per envelope.

Add here: what a mail server's reply at each phase proves.
Not here: what the mail says (content library).

=====================================  ====================================================
Phase                                  Outcome
=====================================  ====================================================
connection, greeting, TLS, login       refused
MAIL FROM, RCPT TO, DATA: 4xx or drop  refused
MAIL FROM: 5xx                         refused (it is the sender who is not liked)
RCPT TO, DATA: 5xx                     rejected
after the final dot: 250               accepted
after the final dot: 4xx               refused
after the final dot: 5xx               rejected
no reply to what followed DATA         uncertain
=====================================  ====================================================

Only what failed before MAIL FROM is tried again in the same call.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from urllib.parse import quote

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.outreach.adapters.http import Patience
from crm_pipeline.lib.outreach.adapters.network import AdapterUrl, check_address
from crm_pipeline.lib.outreach.adapters.protocol import Delivery, Outcome
from crm_pipeline.lib.outreach.message import CUSTOMER, Message

OPTIONS = ("password_env", "from", "unsubscribe")
ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]\\]{1,64}@[^\s@<>,;:\"()\[\]\\]{1,253}")
LINE_START_DOT = re.compile(rb"^\.", re.MULTILINE)
TRIED_AGAIN = frozenset(("dns", "connect", "greeting"))


class _ReplyError(Exception):
    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.delivery = Delivery(outcome, detail=detail)


@dataclass(frozen=True)
class SmtpAdapter:
    """Hands mails to one mail server."""

    url: AdapterUrl
    sender: str
    unsubscribe: str
    password: str | None
    patience: Patience
    name: str = "smtp"

    @classmethod
    def from_url(cls, url: AdapterUrl, patience: Patience) -> SmtpAdapter:
        """The adapter behind ``smtp://user@host:587?from=…&unsubscribe=https://…``.

        Raises:
            ConfigError: the sender is no address, or nobody can leave.
        """
        sender, unsubscribe = url.option("from"), url.option("unsubscribe")
        if not ADDRESS.fullmatch(parseaddr(sender)[1]) or not sender.isprintable():
            raise ConfigError(
                "from= is no address", where=url.variable, remedy="write from=shop@example.com"
            )
        if not re.fullmatch(r"(https://|mailto:)[!-~]+", unsubscribe) or "<" in unsubscribe:
            raise ConfigError(
                "unsubscribe= is no address to leave at",
                where=url.variable,
                remedy="write unsubscribe=https://…; the message id is added to it",
            )
        password = url.secret("password_env") if url.user else None
        return cls(url, sender, unsubscribe, password, patience)

    def deliver(self, message: Message, address: str) -> Delivery:
        """Sends one mail; a broken line after the final dot is never tried again."""
        if message.reader != CUSTOMER:
            return Delivery("rejected", detail="reader")
        if not ADDRESS.fullmatch(address):
            return Delivery("rejected", detail="no_address")
        try:
            mail = self._compose(message, address)
        except ValueError:  # a line break in a header
            return Delivery("rejected", detail="header")
        for attempt in range(self.patience.max_attempts):
            delivery = self._once(mail, address, message.message_id)
            if delivery.detail not in TRIED_AGAIN or attempt + 1 >= self.patience.max_attempts:
                break
            backoff: float = self.patience.first_wait_seconds * 2.0**attempt
            self.patience.sleep(backoff * (0.5 + self.patience.jitter() / 2))
        return delivery

    def _compose(self, message: Message, address: str) -> bytes:
        mail = EmailMessage(policy=SMTP)
        mail["From"], mail["To"] = self.sender, address
        mail["Subject"] = message.subject or ""
        # The planned moment: the same mail at every attempt.
        mail["Date"] = format_datetime(message.planned_send_at)
        mail["Message-ID"] = (
            f"<{message.message_id}@{parseaddr(self.sender)[1].rpartition('@')[2]}>"
        )
        leave = self.unsubscribe
        if leave.startswith("https://"):
            leave += ("&" if "?" in leave else "?") + f"m={quote(message.message_id)}"
            mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        mail["List-Unsubscribe"] = f"<{leave}>"
        mail["X-CRM-Message"] = message.message_id
        # Seven bits: not every server on the way takes eight.
        coding = "quoted-printable" if message.body.isascii() else "base64"
        mail.set_content(message.body, charset="utf-8", cte=coding)
        return mail.as_bytes()

    def _once(self, mail: bytes, address: str, message_id: str) -> Delivery:
        port = self.url.port or (465 if self.url.kind == "smtps" else 587)
        if problem := check_address(self.url.host, port, self.url.allow):
            return problem
        try:
            server = self._connect(port)
        except ssl.SSLError:
            return Delivery("refused", detail="tls")
        except smtplib.SMTPException:
            return Delivery("refused", detail="greeting")
        except OSError:
            return Delivery("refused", detail="connect")
        try:
            self._greet(server)
            return self._transfer(server, mail, address, message_id)
        except _ReplyError as error:
            return error.delivery
        finally:
            with suppress(OSError, smtplib.SMTPException):
                server.quit()

    def _connect(self, port: int) -> smtplib.SMTP:
        seconds = self.patience.connect_seconds
        if self.url.kind == "smtps":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self.url.host, port, timeout=seconds, context=context)
        return smtplib.SMTP(self.url.host, port, timeout=seconds)

    def _greet(self, server: smtplib.SMTP) -> None:
        """Greets, encrypts, logs in: nothing of the message has left."""
        try:
            server.ehlo_or_helo_if_needed()
            if self.url.kind == "smtp" and "loopback" not in self.url.allow:
                server.starttls(context=ssl.create_default_context())
                server.ehlo()
            if self.url.user and self.password:
                server.login(self.url.user, self.password)
        except smtplib.SMTPNotSupportedError:
            raise _ReplyError("refused", "not_supported") from None
        except smtplib.SMTPAuthenticationError:
            raise _ReplyError("refused", "login") from None
        except ssl.SSLError:
            raise _ReplyError("refused", "tls") from None
        except (smtplib.SMTPException, OSError):
            raise _ReplyError("refused", "greeting") from None

    def _transfer(
        self, server: smtplib.SMTP, mail: bytes, address: str, message_id: str
    ) -> Delivery:
        options = [] if address.isascii() else ["SMTPUTF8", "BODY=8BITMIME"]
        if options and not server.has_extn("smtputf8"):
            return Delivery("rejected", detail="smtputf8")
        sender = parseaddr(self.sender)[1]
        self._ask(server, "mail", (sender, options), (250,), hard="refused")
        self._ask(server, "rcpt", (address,), (250, 251), hard="rejected")
        self._ask(server, "docmd", ("DATA",), (354,), hard="rejected")
        try:
            if server.sock is not None:
                server.sock.settimeout(self.patience.answer_seconds)
            server.send(LINE_START_DOT.sub(b"..", mail).rstrip(b"\r\n") + b"\r\n.\r\n")
            code, text = server.getreply()
        except (smtplib.SMTPException, OSError) as error:
            detail = "no_answer" if isinstance(error, TimeoutError) else "dropped"
            return Delivery("uncertain", detail=detail)
        if code == 250:
            return Delivery("accepted", reference=_queue_id(text) or message_id)
        if code < 400 or code > 599:
            return Delivery("uncertain", detail="garbage")
        return Delivery("refused" if code < 500 else "rejected", detail=f"data_{code}")

    def _ask(
        self,
        server: smtplib.SMTP,
        command: str,
        arguments: tuple[object, ...],
        expected: Iterable[int],
        *,
        hard: Outcome,
    ) -> None:
        try:
            code, _ = getattr(server, command)(*arguments)
        except (smtplib.SMTPException, OSError):
            raise _ReplyError("refused", f"{command}_dropped") from None
        if code not in expected:
            outcome: Outcome = hard if 500 <= code < 600 else "refused"
            raise _ReplyError(outcome, f"{command}_{code}")


def _queue_id(text: bytes) -> str | None:
    """The id under which the server queued the mail, as most of them say it."""
    found = re.search(rb"queued as ([0-9A-Za-z._-]{4,64})", text)
    return found.group(1).decode() if found else None
