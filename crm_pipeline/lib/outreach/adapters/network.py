"""Where an adapter may call.

Add here: what of an adapter's address is checked.
Not here: which addresses are refused (``lib.pull.network``).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.outreach.adapters.protocol import Delivery
from crm_pipeline.lib.pull.network import is_refused, problem_of_url
from crm_pipeline.lib.pull.secrets import Secrets

ALLOWED = ("loopback",)


@dataclass(frozen=True)
class AdapterUrl:
    """The parts of ``CRM_DELIVERY_<CHANNEL>``; secrets stay in the environment."""

    variable: str  # where a person finds it
    kind: str
    scheme: str
    host: str
    port: int | None
    path: str
    user: str | None
    options: Mapping[str, str]
    secrets: Secrets

    @property
    def allow(self) -> Sequence[str]:
        """Addresses of this machine that may be called, for tests."""
        return ("loopback",) if self.options.get("allow") == "loopback" else ()

    def option(self, name: str) -> str:
        """An option that must be there.

        Raises:
            ConfigError: it is not.
        """
        if not (value := self.options.get(name)):
            raise ConfigError(
                f"the address says no {name}",
                where=self.variable,
                remedy=f"add {name}=… to its query",
            )
        return value

    def secret(self, option: str) -> str:
        """The secret in the environment variable that the option names."""
        return self.secrets.read(f"env:{self.option(option)}")


def parse_url(
    variable: str, text: str, *, options: Sequence[str], environment: Mapping[str, str]
) -> AdapterUrl:
    """Reads the address of an adapter strictly.

    Args:
        variable: name of the environment variable, for the message.
        text: its value, ``kind+https://host/path?option=…``, or ``smtp://user@host:587?…``.
        options: what its query may say, beside ``allow``.
        environment: where the secrets are that the query names.

    Raises:
        ConfigError: the address is none, is forbidden, holds a secret or says something unknown.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ConfigError(
            "this is no address", where=variable, remedy="write for example webhook+https://host/in"
        ) from None
    kind, _, scheme = parts.scheme.rpartition("+")
    kind = kind or parts.scheme
    query = parse_qs(parts.query, keep_blank_values=True)
    _refuse_pasted_secret(variable, parts.password, query)
    _refuse_unknown(variable, query, (*options, "allow"))
    is_mail = kind in ("smtp", "smtps")
    allow = query.get("allow", [""])
    bare = f"{'https' if is_mail else scheme}://{_bracketed(host)}" + (f":{port}" if port else "")
    # Plain http is only for this machine: problem_of_url says so.
    if problem := problem_of_url(bare + ("" if is_mail else parts.path), allow=allow):
        raise ConfigError(
            problem[0], where=variable, remedy="write the provider's own https address"
        )
    return AdapterUrl(
        variable=variable,
        kind=kind,
        scheme=scheme,
        host=str(host),
        port=port,
        path=parts.path or "/",
        user=parts.username,
        options={name: values[0] for name, values in query.items()},
        secrets=Secrets(environment),
    )


def check_address(host: str, port: int, allow: Sequence[str]) -> Delivery | None:
    """Why this name cannot be called now; None when it can. Nothing has left yet."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return Delivery("refused", detail="dns")
    for *_, place in found:
        if is_refused(ipaddress.ip_address(str(place[0]).split("%")[0]), allow):
            return Delivery("refused", detail="forbidden_address")
    return None


def _bracketed(host: str | None) -> str:
    return f"[{host}]" if host and ":" in host else host or ""


def _refuse_pasted_secret(
    variable: str, password: str | None, query: Mapping[str, list[str]]
) -> None:
    suspicious = ("secret", "password", "token", "key", "access_token", "corpsecret")
    if password or any(name.lower() in suspicious for name in query):
        raise ConfigError(
            "the address holds a secret",
            where=variable,
            remedy="put it into an environment variable and name that: secret_env=NAME",
        )


def _refuse_unknown(variable: str, query: Mapping[str, list[str]], options: Sequence[str]) -> None:
    for name, values in query.items():
        if name not in options or len(values) > 1:
            raise ConfigError(
                f"the address says {name!r} twice" if name in options else f"unknown: {name!r}",
                where=variable,
                remedy=f"its query may say: {', '.join(sorted(options))}",
            )
        if name == "allow" and values[0] not in ALLOWED:
            raise ConfigError(
                "only allow=loopback is known",
                where=variable,
                remedy="leave it out; it is for tests",
            )
