"""Providers that misbehave on demand. Add here: real servers on 127.0.0.1. Not here: tests.

Whatever a provider accepts is written to its log file before anything else happens, so that no
kill of the sender, and no broken line, hides an acceptance.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

HOLD_SECONDS = 1.5  # longer than any time-out of a test


class AcceptanceLog:
    """A file of what was accepted, one JSON line each; whoever writes a line has accepted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.touch()

    def accept(self, **fields: Any) -> None:
        line = json.dumps(fields, ensure_ascii=False) + "\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)

    def read(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]

    def ids(self) -> list[str]:
        return [line["message_id"] for line in self.read()]


class Script:
    """What the server does at each call: one word a call, then the last one for ever.

    In a file, so that a server in a process of its own can be told.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._calls = 0
        self._seen = ""
        if not path.exists():
            self.set("accept")

    def set(self, *words: str) -> None:
        temporary = self.path.with_suffix(".new")
        temporary.write_text(f"{time.monotonic_ns()} " + " ".join(words), encoding="ascii")
        temporary.replace(self.path)

    def next(self) -> str:
        with self._lock:
            text = self.path.read_text(encoding="ascii")
            if text != self._seen:
                self._seen, self._calls = text, 0
            words = text.split()[1:]
            word = words[min(self._calls, len(words) - 1)]
            self._calls += 1
            return word


def _cut(connection: socket.socket) -> None:
    """Ends the line without a word."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


class _HttpHandler(BaseHTTPRequestHandler):
    server: HttpProvider
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.calls.append((self.path, dict(self.headers), body))
        path = urlsplit(self.path).path
        if path.startswith("/cgi-bin/"):
            self._wecom(path.rpartition("/")[2], body)
            return
        fields = json.loads(body)
        message_id = fields.get("message_id") or fields.get("out_id")
        contact = fields.get("contact") or fields.get("phone")

        def accept() -> dict[str, Any]:
            self.server.log.accept(message_id=message_id, contact=contact, path=path, body=fields)
            return {"code": "OK", "reference": f"p-{message_id}"}

        self._behave(self.server.script.next(), accept)

    def _behave(self, word: str, accept: Any) -> None:
        word, _, argument = word.partition(":")
        if word == "accept":
            self._answer(200, accept())
        elif word == "status":  # status:429:2 → 429 with Retry-After: 2
            status, _, wait = argument.partition(":")
            self._answer(int(status), {}, wait)
        elif word == "status_after":
            accept()
            self._answer(int(argument), {})
        elif word == "code":
            self._answer(200, {"code": argument})
        elif word == "body":  # body:[] → these very bytes
            self._answer_bytes(200, argument.encode())
        elif word == "slow":
            time.sleep(float(argument))
            self._answer(200, accept())
        else:
            self._break(word, accept)

    def _break(self, word: str, accept: Any) -> None:
        if word.endswith("_after"):
            accept()
        kind = word.partition("_")[0]
        if kind == "hold":
            time.sleep(HOLD_SECONDS)
        elif kind == "garbage":
            self.wfile.write(b"\x00\xff this is no HTTP\r\n\r\n")
        elif kind == "nonsense":  # HTTP, and nothing a program could read
            self._answer(200, None)
            return
        else:
            assert kind == "drop", word
        self.close_connection = True
        _cut(self.connection)

    def _answer(self, status: int, fields: dict[str, Any] | None, wait: str = "") -> None:
        self._answer_bytes(
            status, b"<html>" if fields is None else json.dumps(fields).encode(), wait
        )

    def _answer_bytes(self, status: int, body: bytes, wait: str = "") -> None:
        self.send_response(status)
        if wait:
            self.send_header("Retry-After", wait)
        if 300 <= status < 400:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _wecom(self, method: str, body: bytes) -> None:
        wecom = self.server.wecom
        if method == "gettoken":
            query = parse_qs(urlsplit(self.path).query)
            known = query.get("corpsecret") == ["corp secret"]
            answer = {"errcode": 0, "access_token": wecom.token} if known else {"errcode": 40001}
            self._answer(200, answer)
            return
        if parse_qs(urlsplit(self.path).query).get("access_token") != [wecom.token]:
            self._answer(200, {"errcode": 42001})
            return
        fields = json.loads(body)
        if method == "send":

            def tell() -> dict[str, Any]:
                guide, text = fields["touser"], fields["text"]["content"]
                wecom.told.append((guide, text))
                self.server.log.accept(message_id=text, contact=guide, path="staff", body=fields)
                return {"errcode": 0, "invaliduser": "", "msgid": f"m{len(wecom.told)}"}

            if fields["touser"] in wecom.strangers:
                self._answer(200, {"errcode": 0, "invaliduser": fields["touser"]})
            else:
                self._behave(self.server.script.next(), tell)
        elif method == "add_msg_template":

            def accept() -> dict[str, Any]:
                task = f"task{len(wecom.tasks) + 1}"
                members = [one for one in fields["external_userid"] if one not in wecom.strangers]
                wecom.tasks[task] = dict.fromkeys(members, 1 if wecom.is_confirmed else 0)
                text = fields["text"]["content"]
                for contact in members:
                    self.server.log.accept(
                        message_id=f"{task}/{contact}", contact=contact, path=text, body=fields
                    )
                failed = [one for one in fields["external_userid"] if one in wecom.strangers]
                return {"errcode": 0, "msgid": task, "fail_list": failed}

            word = self.server.script.next()
            if word.startswith("errcode:"):
                self._answer(200, {"errcode": int(word.partition(":")[2])})
            else:
                self._behave(word, accept)
        elif method == "get_groupmsg_task":
            status = 2 if wecom.is_confirmed else 0
            staff = [{"userid": wecom.guide, "status": status}]
            self._answer(200, {"errcode": 0, "task_list": staff})
        else:
            members = wecom.tasks.get(fields["msgid"], {})
            listed = [{"external_userid": one, "status": s} for one, s in members.items()]
            start = int(fields.get("cursor") or 0)
            page = listed[start : start + wecom.page]
            following = str(start + wecom.page) if start + wecom.page < len(listed) else ""
            answer = {"errcode": 0, "send_list": page, "next_cursor": following}
            self._answer(200, answer)


class Wecom:
    """What WeCom knows."""

    def __init__(self) -> None:
        self.token = "token-1"
        self.guide = "li"
        self.is_confirmed = False
        self.strangers: set[str] = set()
        self.tasks: dict[str, dict[str, int]] = {}
        self.told: list[tuple[str, str]] = []  # what staff were written
        self.page = 2


class HttpProvider(ThreadingHTTPServer):
    """A web hook's receiver, an SMS gateway and WeCom, by path."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _HttpHandler)
        self.log = AcceptanceLog(folder / "accepted.jsonl")
        self.script = Script(folder / "script.txt")
        self.calls: list[tuple[str, dict[str, str], bytes]] = []
        self.wecom = Wecom()

    def handle_error(self, *_: Any) -> None:
        pass

    def url(self, kind: str, path: str = "/in", **options: str) -> str:
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"{kind}+http://127.0.0.1:{self.server_port}{path}?allow=loopback&{query}"


class _SmtpHandler(socketserver.StreamRequestHandler):
    server: SmtpProvider

    def setup(self) -> None:
        self.is_encrypted = self.server.tls is not None and self.server.is_smtps
        if self.is_encrypted:
            self.request = self.server.encrypt(self.request)
        super().setup()

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self) -> None:
        word, _, argument = self.server.script.next().partition(":")
        if word == "drop_greeting":
            _cut(self.connection)
            return
        self._say("554 no service" if word == "no_service" else "220 here")
        while line := self.rfile.readline():
            verb = line.decode("utf-8", "replace").split(" ")[0].strip().upper()
            if not self._reply(verb, line, word, argument):
                return

    def _reply(self, verb: str, line: bytes, word: str, argument: str) -> bool:
        """Answers one command; false when the line is cut."""
        if verb == "EHLO":
            self._say("250-here")
            if self.server.tls is not None and not self.is_encrypted:
                self._say("250-STARTTLS")
            self._say("250 8BITMIME")
        elif verb == "STARTTLS" and self.server.tls is not None:
            self._say("220 go on")
            self.connection = self.request = self.server.encrypt(self.request)
            self.rfile = self.connection.makefile("rb")
            self.wfile = self.connection.makefile("wb", 0)
            self.is_encrypted = True
        elif verb == word.upper() and argument == "drop":
            _cut(self.connection)
            return False
        elif verb == word.upper():
            self._say(f"{argument} as you wish")
        elif verb == "RCPT":
            self.recipient = re.sub(r".*<(.*)>.*", r"\1", line.decode().strip())
            self._say("250 ok")
        elif verb == "DATA":
            self._say("354 go on")
            return self._data(word, argument)
        elif verb == "QUIT":
            self._say("221 bye")
        else:
            self._say("250 ok")
        return True

    def _data(self, word: str, argument: str) -> bool:
        lines: list[bytes] = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b".") else line)
            if word == "drop_in_data":
                _cut(self.connection)
                return False
        if word == "dot":  # what is said after the final dot
            self._say(f"{argument} as you wish")
            return True
        if word != "drop_before":
            mail = b"".join(lines)
            found = re.search(rb"X-CRM-Message: (\S+)", mail)
            message_id = found.group(1).decode() if found else None
            self.server.log.accept(
                message_id=message_id, contact=self.recipient,
                body=mail.decode("utf-8", "replace"), is_encrypted=self.is_encrypted,
            )  # fmt: skip
        if word.startswith("hold"):
            time.sleep(HOLD_SECONDS)
        if word.startswith(("drop", "hold")):
            _cut(self.connection)
            return False
        self._say("250 ok: queued as Q12345")
        return True


class SmtpProvider(socketserver.ThreadingTCPServer):
    """A mail server; without ``tls`` as only this machine may have one."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(
        self, folder: Path, tls: ssl.SSLContext | None = None, *, is_smtps: bool = False
    ) -> None:
        super().__init__(("127.0.0.1", 0), _SmtpHandler)
        self.tls, self.is_smtps = tls, is_smtps
        self.log = AcceptanceLog(folder / "accepted.jsonl")
        self.script = Script(folder / "script.txt")

    def handle_error(self, *_: Any) -> None:
        pass

    def encrypt(self, connection: socket.socket) -> socket.socket:
        """The connection within TLS, once the other side believes the certificate."""
        assert self.tls is not None
        return self.tls.wrap_socket(connection, server_side=True)

    def url(self, **options: str) -> str:
        kind = "smtps" if self.is_smtps else "smtp"
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"{kind}://127.0.0.1:{self.server_address[1]}?allow=loopback&{query}"


@contextlib.contextmanager
def running(server: socketserver.BaseServer) -> Iterator[None]:
    """Serves in a thread."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def running_apart(server: socketserver.BaseServer) -> Iterator[None]:
    """Serves in a process of its own, which outlives any kill of this one's children."""
    child = os.fork()
    if child == 0:
        try:
            server.serve_forever()
        finally:
            os._exit(0)
    try:
        yield
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        server.server_close()


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def repeated(values: Sequence[str]) -> list[str]:
    """Those that occur more than once."""
    return sorted({one for one in values if list(values).count(one) > 1})
