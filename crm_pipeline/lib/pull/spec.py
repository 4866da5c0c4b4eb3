"""One pull source: what its YAML may say.

Add here: an attribute of a pull source and the check that it makes sense.
Not here: asking (``rest``, ``sql``), the feed that reads the files (``lib/ingestion``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from crm_pipeline.lib.ingestion.feed_checks import SECRET
from crm_pipeline.lib.ingestion.feed_spec import NAME
from crm_pipeline.lib.pull.network import problem_of_url
from crm_pipeline.lib.pull.secrets import REFERENCE
from crm_pipeline.lib.strict_yaml import Problem, problems_error

PATH = r"^[^\s.{}]+(\.[^\s.{}]+)*$"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, strict=True)


def _only_a_reference(value: object) -> object:
    """A secret is named, never written; what stands there instead is not repeated in the error."""
    if isinstance(value, str) and re.fullmatch(REFERENCE, value):
        return value
    problem = Problem(
        (),
        "this must name a secret, not hold one",
        "write env:NAME and set NAME (or NAME_FILE, a file that holds it) in the environment",
    )
    raise problems_error([problem])


Secret = Annotated[str, BeforeValidator(_only_a_reference)]


class AuthSpec(_Strict):
    """How the source is told who asks. Every secret is a name in the environment."""

    kind: Literal["bearer", "api_key", "basic", "client_credentials"] = Field(
        description="a fixed token, a key in a header or parameter, user and password, "
        "or a token fetched with client id and secret"
    )
    token: Secret | None = Field(
        default=None, description="bearer: the token", examples=["env:SHOP_API_TOKEN"]
    )
    key: Secret | None = Field(
        default=None, description="api_key: the key", examples=["env:SHOP_API_KEY"]
    )
    header: str | None = Field(
        default=None, description="api_key: header that carries it", examples=["X-Api-Key"]
    )
    param: str | None = Field(
        default=None, description="api_key: parameter that carries it", examples=["access_token"]
    )
    user: Secret | None = Field(default=None, description="basic: the user")
    password: Secret | None = Field(default=None, description="basic: the password")
    token_url: str | None = Field(
        default=None, description="client_credentials: where tokens are fetched"
    )
    client_id: Secret | None = Field(default=None, description="client_credentials: the client")
    client_secret: Secret | None = Field(default=None, description="client_credentials: its secret")
    scope: str | None = Field(default=None, description="client_credentials: what is asked for")

    @model_validator(mode="after")
    def _one_form(self) -> AuthSpec:
        needed = {
            "bearer": {"token"},
            "api_key": {"key"},
            "basic": {"user", "password"},
            "client_credentials": {"token_url", "client_id", "client_secret"},
        }[self.kind]
        optional = {"api_key": {"header", "param"}, "client_credentials": {"scope"}}
        said = {name for name in self.model_fields_set if name != "kind"}
        extra = sorted(said - needed - optional.get(self.kind, set()))
        missing = sorted(needed - said)
        if self.kind == "api_key" and (self.header is None) == (self.param is None):
            missing.append("header (or param)")
        problems = [Problem((name,), f"{name} has no meaning for {self.kind}", "remove it")
                    for name in extra]  # fmt: skip
        problems += [Problem(("kind",), f"{self.kind} needs {name}", "add it") for name in missing]
        if problems:
            raise problems_error(problems)
        return self


class PaginationSpec(_Strict):
    """How the answer is cut into pages."""

    kind: Literal["single", "page", "offset", "cursor", "link_header", "link"] = Field(
        description="one page; a page number; an offset; a cursor of the answer; a Link header; "
        "an address in the answer"
    )
    param: str | None = Field(
        default=None, description="parameter of page, offset or cursor", examples=["page"]
    )
    start: int = Field(default=1, ge=0, description="page: number of the first page")
    size: int | None = Field(
        default=None, ge=1, le=100_000, description="records per page, as asked for"
    )
    size_param: str | None = Field(
        default=None, description="parameter that asks for the size", examples=["limit"]
    )
    next: str | None = Field(
        default=None,
        pattern=PATH,
        description="cursor and link: place in the answer of the next one",
        examples=["paging.next"],
    )
    has_more: str | None = Field(
        default=None, pattern=PATH, description="place in the answer that says whether more follow"
    )
    total: str | None = Field(
        default=None,
        pattern=PATH,
        description="place in the answer of the count of all records; then a pull is counted",
    )
    max_pages: int = Field(default=10_000, ge=1, description="more pages than this are an error")

    @model_validator(mode="after")
    def _one_form(self) -> PaginationSpec:
        problems = []
        if self.kind in ("page", "offset", "cursor") and not self.param:
            problems.append(Problem(("kind",), f"{self.kind} needs param", "name the parameter"))
        if self.kind in ("cursor", "link") and not self.next:
            problems.append(Problem(("kind",), f"{self.kind} needs next", "name its place"))
        if self.kind == "offset" and not (self.size and self.size_param):
            problems.append(Problem(("kind",), "offset needs size and size_param", "add both"))
        if self.size_param and not self.size:
            problems.append(Problem(("size_param",), "size_param needs size", "add size"))
        if problems:
            raise problems_error(problems)
        return self


class CursorSpec(_Strict):
    """Only what changed: the field that grows, and how far back every pull overlaps the last."""

    field: str = Field(
        pattern=PATH,
        description="field (REST) or column (SQL) that grows with every change",
        examples=["updated_at"],
    )
    kind: Literal["datetime", "epoch_s", "epoch_ms", "number"] = Field(
        default="datetime", description="what the field holds"
    )
    start: str | int = Field(
        description="where the first pull begins, and every pull after the state was lost",
        examples=['"2025-01-01T00:00:00Z"'],
    )
    param: str | None = Field(
        default=None, description="REST: parameter that carries it", examples=["updated_since"]
    )
    overlap_minutes: int = Field(
        default=60,
        ge=1,
        le=527_040,
        description="times: how far each pull reaches back; the door knows what came twice",
    )
    overlap_count: int = Field(
        default=1000, ge=1, description="numbers: how far each pull reaches back"
    )


class SuccessSpec(_Strict):
    """What an answer says when it is no error, for sources that send errors with status 200."""

    field: str = Field(pattern=PATH, description="place in the answer", examples=["code"])
    values: list[str | int | bool] = Field(
        alias="in", min_length=1, description="what it may be", examples=["[0]"]
    )


class RestSpec(_Strict):
    """A web interface that answers JSON."""

    base_url: str = Field(description="address, https", examples=["https://api.example.com/v2"])
    path: str = Field(
        pattern=r"^[^\s{}?#:]+$", description="path below the address", examples=["orders"]
    )
    auth: AuthSpec | None = Field(default=None, description="who asks")
    params: dict[str, str | int | bool] = Field(
        default={}, description="parameters of every request"
    )
    records: str = Field(
        default="$",
        pattern=PATH,
        description="place of the list of records in the answer; $ is the answer itself",
        examples=["data.orders"],
    )
    success: SuccessSpec | None = Field(
        default=None, description="what an answer says that is no error"
    )
    pagination: PaginationSpec = Field(description="how pages follow each other")
    incremental: CursorSpec | None = Field(default=None, description="only what changed")
    max_attempts: int = Field(
        default=5, ge=1, le=20, description="how often one request is tried (429, 5xx, no answer)"
    )
    max_wait_seconds: int = Field(
        default=300, ge=0, le=3600, description="longest wait a source may ask for (Retry-After)"
    )
    max_page_mb: int = Field(default=64, ge=1, le=1024, description="largest answer that is read")
    allow: list[Literal["loopback", "http"]] = Field(
        default=[],
        description="an address of this machine (for tests), or plain http (no secret is safe)",
    )


class SqlSpec(_Strict):
    """A table of a database."""

    connection: Secret = Field(
        description="SQLAlchemy URL of the database", examples=["env:SHOP_DATABASE_URL"]
    )
    table: str = Field(pattern=r"^[^\s;'\"]+$", description="table or view", examples=["orders"])
    schema_name: str | None = Field(
        default=None, alias="schema", pattern=r"^[^\s;'\"]+$", description="its schema"
    )
    columns: list[str] | None = Field(
        default=None, min_length=1, description="only these columns; default: all"
    )
    incremental: CursorSpec | None = Field(default=None, description="only what changed")
    chunk_rows: int = Field(default=10_000, ge=1, description="rows fetched at once")


class PullSpec(_Strict):
    """One source that is asked for records, and the feed that takes them in."""

    source: str = Field(
        pattern=NAME, description="unique name of the source, also the asset's",
        examples=["shop_api_orders"],
    )  # fmt: skip
    feed: str = Field(
        pattern=NAME,
        description="feed of the same file whose folder the files land in",
        examples=["shop_orders"],
    )
    description: str = Field(default="", description="what the source is, for people")
    every: str | None = Field(
        default=None,
        pattern=r"^\S+( \S+){4}$",
        description="cron line in business time; default: only by hand",
        examples=['"*/30 * * * *"'],
    )
    rest: RestSpec | None = Field(default=None, description="a web interface")
    sql: SqlSpec | None = Field(default=None, description="a database")

    @model_validator(mode="after")
    def _makes_sense(self) -> PullSpec:
        problems = list(_check(self))
        if problems:
            raise problems_error(problems)
        return self

    @property
    def kind(self) -> str:
        return "rest" if self.rest else "sql"

    @property
    def incremental(self) -> CursorSpec | None:
        asked = self.rest or self.sql
        return asked.incremental if asked else None

    @property
    def fingerprint(self) -> str:
        """Names what is asked: another address, table or field begins from the start again."""
        if self.rest:
            said: list[Any] = [self.rest.base_url, self.rest.path, self.rest.params]
        else:
            assert self.sql is not None
            said = [self.sql.connection, self.sql.schema_name, self.sql.table, self.sql.columns]
        said.append(self.incremental.model_dump() if self.incremental else None)
        return hashlib.sha256(repr(said).encode()).hexdigest()[:16]


def _check(spec: PullSpec) -> Iterator[Problem]:
    if (spec.rest is None) == (spec.sql is None):
        yield Problem(("source",), "a source is either rest or sql", "write exactly one of them")
        return
    for at, text in _texts(spec.model_dump(by_alias=True, exclude_none=True), ()):
        if SECRET.search(text) and not re.fullmatch(REFERENCE, text):
            yield Problem(at, "this looks like a secret", "write env:NAME where a key takes one")
    if spec.rest:
        yield from _check_rest(spec.rest)
    if spec.incremental:
        yield from _check_cursor(spec.kind, spec.incremental)


def _check_rest(rest: RestSpec) -> Iterator[Problem]:
    urls = {("rest", "base_url"): rest.base_url}
    if rest.auth and rest.auth.token_url:
        urls["rest", "auth", "token_url"] = rest.auth.token_url  # type: ignore[index]
    for at, url in urls.items():
        problem = problem_of_url(url, allow=rest.allow)
        if problem:
            yield Problem(at, *problem)
    if ".." in rest.path.split("/") or rest.path.startswith("/"):
        yield Problem(("rest", "path"), "the path leads out of base_url", "write a relative path")


def _check_cursor(kind: str, cursor: CursorSpec) -> Iterator[Problem]:
    at = (kind, "incremental")
    if kind == "rest" and not cursor.param:
        yield Problem(at, "the parameter that carries the cursor is missing", "add param:")
    if kind == "sql" and cursor.param:
        yield Problem((*at, "param"), "a database has no parameters", "remove param")
    if cursor.kind == "datetime":
        try:
            datetime.fromisoformat(str(cursor.start))
        except ValueError:
            yield Problem(
                (*at, "start"), "this is no instant", 'write for example "2025-01-01T00:00:00Z"'
            )
    elif not re.fullmatch(r"[0-9]+", str(cursor.start)):
        yield Problem((*at, "start"), f"{cursor.kind} begins with a whole number", "write one")


def _texts(value: Any, at: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, (*at, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _texts(inner, (*at, number))


def sample_name(folder: str, moment: datetime, zone: str, number: int = 1) -> str:
    """Name of a landed file: its delivery time in the feed's zone."""
    local = moment.astimezone(ZoneInfo(zone))
    again = f"_{number}" if number > 1 else ""
    return f"{folder.rsplit('/', 1)[-1]}_{local:%Y%m%dT%H%M%S}{again}.jsonl"
