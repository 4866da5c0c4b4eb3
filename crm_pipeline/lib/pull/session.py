"""One conversation with a web interface.

Add here: what every single request needs: who asks, how often, how long, how much.
Not here: which pages are asked (``rest``), what an answer means (``pages``).
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests

from crm_pipeline.lib.errors import PullError
from crm_pipeline.lib.pull.network import check_host
from crm_pipeline.lib.pull.pages import Page, PageJudge, UnreliableAnswerError, _parse
from crm_pipeline.lib.pull.secrets import Secrets
from crm_pipeline.lib.pull.spec import AuthSpec, RestSpec

AGAIN = frozenset((408, 425, 429, 500, 502, 503, 504))
TIMEOUT = (10, 60)  # seconds to connect, seconds of silence
BLOCK = 65_536
LONGEST_BACKOFF = 60.0
DEFAULT_PORTS = {"http": 80, "https": 443}
Sleep = Callable[[float], None]


class CursorExpiredError(Exception):
    """The source forgot where it was; the pull begins again."""


class Signer:
    """Adds what proves who asks, at the last moment, so that nothing above ever holds it."""

    def __init__(
        self, auth: AuthSpec | None, secrets: Secrets, fetch: Callable[[AuthSpec], str]
    ) -> None:
        self._auth, self._secrets, self._fetch = auth, secrets, fetch
        self._token: str | None = None
        self.refresh_count = 0

    def sign(self, request: requests.PreparedRequest) -> None:
        """Puts the secret into header or parameter."""
        auth = self._auth
        if auth is None:
            return
        if auth.kind == "basic":
            pair = f"{self._secrets.read(str(auth.user))}:{self._secrets.read(str(auth.password))}"
            coded = base64.b64encode(pair.encode()).decode()
            self._secrets.remember(coded)
            request.headers["Authorization"] = f"Basic {coded}"
        elif auth.kind == "api_key" and auth.param:
            request.prepare_url(request.url, {auth.param: self._current()})
        elif auth.kind == "api_key":
            request.headers[str(auth.header)] = self._current()
        else:
            request.headers["Authorization"] = f"Bearer {self._current()}"

    def _current(self) -> str:
        if self._token is None:
            self._token = self._obtain()
        return self._token

    def _obtain(self) -> str:
        assert self._auth is not None
        if self._auth.kind == "client_credentials":
            return self._fetch(self._auth)
        return self._secrets.read(str(self._auth.token or self._auth.key))

    def refresh(self) -> bool:
        """Gets the secret anew; false when there is none, or it is the one that was refused."""
        if self._auth is None or self._auth.kind == "basic":
            return False
        before, self._token = self._token, self._obtain()
        self.refresh_count += 1
        return self._token != before


class PullSession(requests.Session):
    """A session that signs, waits, retries and judges; what it returns is a page of records."""

    def __init__(
        self,
        spec: RestSpec,
        secrets: Secrets,
        judge: PageJudge,
        *,
        where: str,
        sleep: Sleep = time.sleep,
    ) -> None:
        super().__init__()
        self.auth = lambda request: request  # nothing from a .netrc file
        self._spec, self._secrets, self._judge = spec, secrets, judge
        self._where, self._sleep = where, sleep
        self._origin = _origin(spec.base_url)
        self.signer = Signer(spec.auth, secrets, self._fetch_token)
        self.retry_count = 0

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Asks until a believable page has come, or says why none did."""
        if _origin(str(request.url)) != self._origin:
            raise self._error(
                "the source names a next page on another host; nothing was sent there",
                "ask the source for its real address",
            )
        is_refreshed = is_repeated = False
        problem = ""
        for attempt in range(self._spec.max_attempts):
            wait = min(2.0**attempt, LONGEST_BACKOFF)
            try:
                response, body = self._ask(request, kwargs)
            except requests.RequestException as error:
                problem = f"no whole answer ({type(error).__name__})"
            else:
                if response.status_code == 401 and not is_refreshed:
                    is_refreshed = True
                    if self.signer.refresh():
                        problem = "the new token was refused as well (status 401)"
                        continue
                if response.status_code in AGAIN:
                    problem = f"status {response.status_code}"
                    wait = self._asked_to_wait(response, wait)
                elif response.status_code != 200:
                    raise self._refused(response.status_code)
                else:
                    try:
                        page = self._judge.read(body, _link(response))
                        if is_repeated or not self._judge.is_repeated(page):
                            return _paged(response, self._judge.accept(page))
                        is_repeated = True  # asked for once more: it may have been a slip
                        problem = "the page repeats an earlier one"
                    except UnreliableAnswerError as error:
                        problem = error.what
                        if error.is_error_body and not is_refreshed:
                            is_refreshed = True  # some sources say "token expired" with status 200
                            self.signer.refresh()
            if not self._is_last(attempt):
                self.retry_count += 1
                self._sleep(wait)
        raise self._error(
            f"{problem}, {self._spec.max_attempts} times", "try again later, or ask the source"
        )

    def _is_last(self, attempt: int) -> bool:
        return attempt + 1 >= self._spec.max_attempts

    def _ask(
        self, request: requests.PreparedRequest, kwargs: dict[str, Any]
    ) -> tuple[requests.Response, bytes]:
        parts = urlsplit(str(request.url))
        check_host(
            str(parts.hostname),
            parts.port,
            allow=self._spec.allow,
            where=self._where,
            is_by_proxy=bool(kwargs.get("proxies")),
        )
        signed = request.copy()
        signed.hooks = {"response": []}
        self.signer.sign(signed)
        settings = {**kwargs, "allow_redirects": False, "stream": True, "timeout": TIMEOUT}
        with super().send(signed, **settings) as response:
            return response, self._body(response)

    def _body(self, response: requests.Response) -> bytes:
        limit = self._spec.max_page_mb * 1024 * 1024
        pieces, size = [], 0
        for piece in response.iter_content(BLOCK):
            size += len(piece)
            if size > limit:
                raise self._error(
                    f"an answer of more than {self._spec.max_page_mb} MB",
                    "ask for smaller pages, or raise max_page_mb",
                )
            pieces.append(piece)
        return b"".join(pieces)

    def _asked_to_wait(self, response: requests.Response, wait: float) -> float:
        asked = _retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
        if asked is None:
            return wait
        if asked > self._spec.max_wait_seconds:
            raise self._error(
                f"the source asks to wait {asked:.0f} s (status {response.status_code})",
                "run the pull again later, or raise max_wait_seconds",
            )
        return asked

    def _refused(self, status: int) -> Exception:
        if status in (401, 403):
            return self._error(
                f"the source refuses who asks (status {status})",
                "check auth: and the variables it names",
            )
        if 300 <= status < 400:
            return self._error(
                f"the source sends on to another address (status {status})",
                "write the final address; none is followed, for the secret's sake",
            )
        is_under_way = self._judge.page_count > 0
        if is_under_way and self._spec.pagination.kind in ("cursor", "link", "link_header"):
            return CursorExpiredError(f"status {status}")
        return self._error(
            f"status {status}" + (f" after {self._judge.page_count} pages" if is_under_way else ""),
            "check address, path and params; a source that has no page after its last one needs "
            "has_more or total",
        )

    def _fetch_token(self, auth: AuthSpec) -> str:
        """A token for client id and secret (OAuth 2, client credentials)."""
        url = str(auth.token_url)
        parts = urlsplit(url)
        check_host(str(parts.hostname), parts.port, allow=self._spec.allow, where=self._where)
        form = {"grant_type": "client_credentials"} | ({"scope": auth.scope} if auth.scope else {})
        pair = (
            self._secrets.read(str(auth.client_id)),
            self._secrets.read(str(auth.client_secret)),
        )
        request = requests.Request("POST", url, data=form, auth=pair).prepare()
        try:
            with super().send(request, allow_redirects=False, stream=True, timeout=TIMEOUT) as got:
                status, answer = got.status_code, _parse(self._body(got))
        except requests.RequestException as error:
            raise self._error(
                f"no token came ({type(error).__name__})", "try again later"
            ) from None
        except UnreliableAnswerError:
            status, answer = 0, None
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if status != 200 or not isinstance(token, str) or not token:
            raise self._error(
                f"no token came (status {status})", "check token_url, client_id and client_secret"
            )
        self._secrets.remember(token)
        return token

    def _error(self, what: str, remedy: str) -> PullError:
        return PullError(self._secrets.hide(what), where=self._where, remedy=remedy)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, str(parts.hostname), parts.port or DEFAULT_PORTS.get(parts.scheme)


def _link(response: requests.Response) -> str | None:
    return response.links.get("next", {}).get("url")


def _paged(response: requests.Response, page: Page) -> requests.Response:
    """The response as the library reads it: its JSON is the page under fixed names."""
    response.json = lambda **_: page.envelope()
    return response


def _retry_after(text: str | None, now: datetime) -> float | None:
    """Seconds to wait, from a count or a date."""
    if not text:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (TypeError, ValueError):
        return None
