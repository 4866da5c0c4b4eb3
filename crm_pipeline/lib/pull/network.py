"""Which addresses may be asked.

Add here: a kind of address that is refused.
Not here: asking.

A configuration must not turn this machine into somebody's door to what only it can reach: the
metadata service of a cloud, a service on loopback, a file.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from crm_pipeline.lib.errors import PullError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# Metadata services outside the link-local range.
METADATA = frozenset(
    ipaddress.ip_address(text) for text in ("100.100.100.200", "fd00:ec2::254", "168.63.129.16")
)
METADATA_NAMES = ("metadata.google.internal", "metadata", "instance-data")


def problem_of_url(url: str, *, allow: Sequence[str]) -> tuple[str, str] | None:
    """What is wrong with a configured address, and what to write; nothing is looked up."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "this is no address", "write for example https://api.example.com/v2"
    if parts.scheme not in ("https", "http") or not host:
        return (
            "only web addresses are asked",
            "write https://…; files are delivered through the landing folder",
        )
    if parts.username or parts.password:
        return "an address holds no user and password", "use auth: with env:NAME"
    if parts.query or parts.fragment:
        return "an address ends with its path", "write parameters below params:"
    address = _literal(host)
    if host.lower().rstrip(".") in METADATA_NAMES or (address and is_refused(address, allow)):
        return (
            "this address belongs to the machine or its cloud, not to a source",
            "write the source's own address; allow: [loopback] is for tests on this machine",
        )
    is_local = host == "localhost" or bool(address and address.is_loopback)
    if is_local and "loopback" not in allow:
        return "this is an address of this machine", "allow: [loopback] is for tests"
    if parts.scheme == "http" and not is_local and "http" not in allow:
        return "plain http shows secrets to everyone on the way", "write https://"
    return None


def _literal(host: str) -> Address | None:
    try:
        return _plain(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:  # 0x7f000001, 2130706433 and 127.1 are addresses to the operating system
        return ipaddress.ip_address(socket.inet_aton(host))
    except OSError:
        return None


def _plain(address: Address) -> Address:
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def is_refused(address: Address, allow: Sequence[str]) -> bool:
    """Whether nothing may be sent there."""
    address = _plain(address)
    if address.is_loopback:
        return "loopback" not in allow
    return (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address in METADATA
    )


def check_host(
    host: str, port: int | None, *, allow: Sequence[str], where: str, is_by_proxy: bool = False
) -> None:
    """Refuses a name that leads to a refused address, whatever the configuration called it.

    Behind a proxy only the proxy may know the name.

    Raises:
        PullError: it does, or the name is unknown.
    """
    try:
        found = socket.getaddrinfo(host, port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        if is_by_proxy:
            return
        raise PullError(
            f"the name {host} is not known",
            where=where,
            remedy="check the address and the network",
        ) from None
    for *_, place in found:
        address = ipaddress.ip_address(str(place[0]).split("%")[0])
        if is_refused(address, allow):
            raise PullError(
                f"{host} leads to an address of this machine or its cloud; nothing was sent",
                where=where,
                remedy="write the source's own address",
            )
