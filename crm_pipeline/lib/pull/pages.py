"""Whether an answer is a page of records.

Add here: a way in which an answer can be wrong.
Not here: asking again (``session``), what a record means (its feed).

A source that fails with status 200 must never look like a source without news.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from crm_pipeline.lib.errors import PullError
from crm_pipeline.lib.failpoints import failpoint
from crm_pipeline.lib.ingestion.text import printable
from crm_pipeline.lib.pull.spec import RestSpec

STUCK_AFTER = 3  # so many pages in a row that all came before: the source does not move on
# Keys that say "error" unless they are empty, and keys that may say it when there is no record.
ERROR_KEYS = ("error", "errors", "err", "errcode", "error_code", "errorcode", "fault")
CODE_KEYS = ("code", "ret", "retcode", "result_code", "status", "success", "ok")
HARMLESS = {"", "0", "200", "ok", "success", "true", "none", "null", "[]", "{}"}
MORE = {"true": True, "1": True, "false": False, "0": False}
Record = dict[str, Any]


class UnreliableAnswerError(Exception):
    """An answer that cannot be true; asking again may help."""

    def __init__(self, what: str, *, is_error_body: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.is_error_body = is_error_body


@dataclass(frozen=True)
class Page:
    """What one answer holds, wherever the source put it."""

    records: list[Record]
    next: str | None
    has_more: bool
    total: int | None
    digest: bytes

    def envelope(self) -> dict[str, Any]:
        """The same under fixed names, for the library's paginators."""
        return {"records": self.records, "next": self.next, "has_more": self.has_more}


class PageJudge:
    """Reads answers one after the other and remembers what was odd about them."""

    def __init__(self, spec: RestSpec, where: str) -> None:
        self._spec, self._pages, self._where = spec, spec.pagination, where
        self._seen: dict[bytes, int] = {}
        self._references: set[str] = set()
        self._distinct: set[bytes] = set()
        self._totals: list[int] = []
        self._was_short = False
        self._in_a_row = 0
        self.page_count = 0
        self.record_count = 0
        self.repeated_pages = 0
        self.short_pages = 0

    def read(self, body: bytes, link: str | None) -> Page:
        """The page in ``body``.

        Raises:
            UnreliableAnswerError: no page, an error, or a page that contradicts itself.
        """
        answer = _parse(body)
        self._refuse_error(answer)
        records = self._records(answer)
        total = self._total(answer)
        page = Page(
            records,
            self._next(answer, link),
            self._has_more(answer, link, records, total),
            total,
            hashlib.sha256(_canonical(records)).digest(),
        )
        if not records:
            self._refuse_quiet_error(answer)
            if page.has_more:
                raise UnreliableAnswerError("no record, and yet more are said to follow")
        if page.has_more and page.next in self._references:
            raise UnreliableAnswerError("the next page is one that was read before")
        return page

    def is_repeated(self, page: Page) -> bool:
        """Whether the same records came on an earlier page."""
        return bool(page.records) and page.digest in self._seen

    def accept(self, page: Page) -> Page:
        """Takes the page into the count; a repeated one goes on without its records."""
        self.page_count += 1
        if self.page_count > self._pages.max_pages:
            raise PullError(
                f"more than {self._pages.max_pages} pages",
                where=self._where,
                remedy="raise max_pages, or let the source send only what changed (incremental)",
            )
        if page.next:
            self._references.add(page.next)
        if page.total is not None:
            self._totals.append(page.total)
        if self.is_repeated(page):
            return self._accept_repeated(page)
        self._in_a_row = 0
        if page.records:
            self.short_pages += self._was_short
            self._was_short = bool(self._pages.size and len(page.records) < self._pages.size)
        self._seen[page.digest] = self.page_count
        self.record_count += len(page.records)
        if page.total is not None:
            self._distinct |= {hashlib.sha256(_canonical(r)).digest()[:12] for r in page.records}
        failpoint("pull_page")
        return page

    def _accept_repeated(self, page: Page) -> Page:
        self.repeated_pages += 1
        self._in_a_row += 1
        if self._in_a_row >= STUCK_AFTER:
            raise PullError(
                f"{self._in_a_row} pages in a row had all come before; the source does not page as "
                "declared",
                where=self._where,
                remedy="check pagination: the name of its parameter, its first page and its size",
            )
        return Page([], page.next, page.has_more, page.total, page.digest)

    def findings(self) -> list[str]:
        """What speaks against having read everything. Empty: nothing does."""
        found = []
        if self.repeated_pages:
            found.append(f"{self.repeated_pages} pages repeated an earlier page")
        # A cursor may skip over records it filters; page numbers and offsets may not.
        if self.short_pages and self._pages.kind in ("page", "offset"):
            found.append(f"{self.short_pages} pages were short though more followed")
        if self._totals:
            # Records inserted while paging raise the total and have later cursors; the next pull
            # takes them. Fewer than ever were announced is a gap.
            expected = min(self._totals)
            if len(self._distinct) < expected:
                found.append(f"{len(self._distinct)} records came; {expected} were announced")
            elif self.short_pages and not self.repeated_pages:
                found = []  # counted: nothing is missing
        return found

    def _refuse_error(self, answer: Any) -> None:
        success = self._spec.success
        if success is not None:
            said = _at(answer, success.field)
            if not any(_same(said, value) for value in success.values):
                raise UnreliableAnswerError(
                    f"the answer's {success.field} is not one of the declared values",
                    is_error_body=True,
                )
            return
        if isinstance(answer, dict):
            for key, value in answer.items():
                if key.lower() in ERROR_KEYS and _text(value) not in HARMLESS:
                    raise UnreliableAnswerError(
                        f"the answer is an error (it holds {key})", is_error_body=True
                    )

    def _refuse_quiet_error(self, answer: Any) -> None:
        if self._spec.success is not None or not isinstance(answer, dict):
            return
        for key, value in answer.items():
            if key.lower() in CODE_KEYS and _text(value) not in HARMLESS:
                raise UnreliableAnswerError(
                    f"no record, and {key} does not say that all is well", is_error_body=True
                )

    def _records(self, answer: Any) -> list[Record]:
        found = answer if self._spec.records == "$" else _at(answer, self._spec.records)
        if not isinstance(found, list):
            keys = ", ".join(printable(str(k), 30) for k in list(answer)[:8]) if isinstance(
                answer, dict
            ) else "none"  # fmt: skip
            raise UnreliableAnswerError(
                f"no list of records at {self._spec.records} (keys of the answer: {keys})",
                is_error_body=True,
            )
        if not all(isinstance(record, dict) for record in found):
            raise UnreliableAnswerError(f"{self._spec.records} holds something that is no record")
        return found

    def _next(self, answer: Any, link: str | None) -> str | None:
        if self._pages.kind == "link_header":
            return link
        if self._pages.next is None:
            return None
        found = _at(answer, self._pages.next)
        return None if found in (None, "", 0, "0", False) else str(found)

    def _total(self, answer: Any) -> int | None:
        if self._pages.total is None:
            return None
        found = _at(answer, self._pages.total)
        if not isinstance(found, int | str) or not str(found).isdigit():
            raise UnreliableAnswerError(f"{self._pages.total} is no count")
        return int(found)

    def _has_more(
        self, answer: Any, link: str | None, records: list[Record], total: int | None
    ) -> bool:
        kind = self._pages.kind
        if kind == "single":
            return False
        following = self._next(answer, link)
        if self._pages.has_more is not None:
            said = MORE.get(_text(_at(answer, self._pages.has_more)))
            if said is None:
                raise UnreliableAnswerError(f"{self._pages.has_more} is neither true nor false")
            if said and kind in ("cursor", "link", "link_header") and not following:
                raise UnreliableAnswerError("more are said to follow, but not where")
            return said
        if kind in ("cursor", "link", "link_header"):
            return following is not None
        if total is not None:
            size = self._pages.size or max(len(records), 1)
            return (self.page_count + 1) * size < total
        return bool(records)  # until a page is empty


def _parse(body: bytes) -> Any:
    try:
        return json.loads(
            body.decode("utf-8-sig"),
            object_pairs_hook=_object,
            parse_float=str,  # the digits as they were written
            parse_constant=_refuse,
        )
    except (ValueError, RecursionError):
        raise UnreliableAnswerError("the answer is no JSON", is_error_body=True) from None


def _object(pairs: list[tuple[str, Any]]) -> Record:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse(word: str) -> None:
    raise ValueError(word)


def _at(answer: Any, path: str) -> Any:
    for key in path.split("."):
        answer = answer.get(key) if isinstance(answer, dict) else None
    return answer


def _text(value: Any) -> str:
    return str(value).strip().lower()


def _same(said: Any, value: Any) -> bool:
    return said is not None and _text(said) == _text(value)


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
