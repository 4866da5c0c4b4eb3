"""Records of a web interface, through dlt's REST source.

Add here: what dlt is told.
Not here: a single request (``session``), what an answer means (``pages``).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from crm_pipeline.lib.errors import ConfigError, PullError
from crm_pipeline.lib.pull.pages import Record
from crm_pipeline.lib.pull.session import CursorExpiredError, PullSession
from crm_pipeline.lib.pull.spec import PaginationSpec, RestSpec

TELEMETRY = "RUNTIME__DLTHUB_TELEMETRY"
TALKATIVE = ("dlt", "urllib3", "requests")  # they log addresses, parameters or answers
WANTED = (PullError, CursorExpiredError, ConfigError)


def read_rest(
    spec: RestSpec, session: PullSession, asked_with: str | None, *, where: str
) -> Iterator[Record]:
    """Every record of every page; what is odd about the pages is in the session's judge.

    Raises:
        PullError: no believable page came.
        CursorExpiredError: the source forgot where it was.
    """
    with quiet(), unwrapped(where):
        from dlt.sources.rest_api import rest_api_resources  # seconds to import

        params = dict(spec.params)
        if spec.incremental and asked_with is not None:
            params[str(spec.incremental.param)] = asked_with
        if spec.pagination.size_param and spec.pagination.kind != "offset":
            params[spec.pagination.size_param] = int(spec.pagination.size or 0)
        endpoint: dict[str, Any] = {
            "path": spec.path,
            "params": params,
            "data_selector": "records",
            "paginator": _paginator(spec.pagination),
        }
        client: dict[str, Any] = {"base_url": spec.base_url.rstrip("/") + "/", "session": session}
        (resource,) = rest_api_resources(
            {"client": client, "resources": [{"name": "records", "endpoint": endpoint}]}
        )
        yield from resource


def _paginator(pages: PaginationSpec) -> Any:
    """Every kind reads the same names: the judge has put the answer under them."""
    from dlt.sources.helpers.rest_client import paginators

    if pages.kind == "single":
        return paginators.SinglePagePaginator()
    if pages.kind == "page":
        return paginators.PageNumberPaginator(
            base_page=pages.start,
            page_param=pages.param,
            total_path=None,
            stop_after_empty_page=False,
            has_more_path="has_more",
        )
    if pages.kind == "offset":
        return paginators.OffsetPaginator(
            limit=int(pages.size or 0),
            offset_param=pages.param,
            limit_param=pages.size_param,
            total_path=None,
            stop_after_empty_page=False,
            has_more_path="has_more",
        )
    if pages.kind == "cursor":
        return paginators.JSONResponseCursorPaginator(
            cursor_path="next", cursor_param=pages.param, has_more_path="has_more"
        )
    return paginators.JSONLinkPaginator(next_url_path="next")


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the library from phoning home and from logging what it sends and gets."""
    os.environ[TELEMETRY] = "false"
    loggers = [logging.getLogger(name) for name in TALKATIVE]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextmanager
def unwrapped(where: str) -> Iterator[None]:
    """Lets our own errors through and hides the text of all others: it may quote the answer."""
    try:
        yield
    except ImportError:
        raise PullError(
            "pulling needs the library dlt",
            where=where,
            remedy='install it: pip install "crm_pipeline[pull]"',
        ) from None
    except Exception as error:  # noqa: BLE001  (dlt wraps whatever happens inside it)
        known = _find_own(error)
        if known is not None:
            raise known from None
        raise PullError(
            f"the source could not be read ({type(error).__name__})",
            where=where,
            remedy="check its settings; if they are right, report the defect",
        ) from None


def _find_own(error: BaseException | None) -> Exception | None:
    while error is not None:
        if isinstance(error, WANTED):
            return error
        error = error.__cause__ or error.__context__
    return None
