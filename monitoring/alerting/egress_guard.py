"""Restricts alerts to public addresses, unless ALERT_ALLOW_PRIVATE_NETWORKS is set.

It checks the address that a socket is about to connect to, not a name that is resolved again later, so it covers
redirects, proxies and names whose answer changes. It uses Python's audit event `socket.connect`, so it covers every
library written in Python, but only inside `egress_guard()`.
"""

import ipaddress
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, Final

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
#: All public IPv6 addresses; outside are site-local, local NAT64 and outdated forms of IPv4.
_UNICAST: Final = ipaddress.ip_network("2000::/3")
#: Networks that Python 3.11 takes for public but are not: IETF protocols, 6to4 relays, documentation.
_RESERVED: Final = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "3fff::/20")))
_EVENTS: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_active: ContextVar[bool] = ContextVar("egress_guard", default=False)


class AddressRefused(Exception):
    """The address is private, loopback, link-local or otherwise not public."""


@contextmanager
def egress_guard() -> Iterator[None]:
    """Make every socket of this thread raise AddressRefused when it connects or sends to a non-public address."""
    _install()
    token = _active.set(True)
    try:
        yield
    finally:
        _active.reset(token)


def is_public(address: str) -> bool:
    """Return whether an IP address, or the IPv4 address that it maps, is public.

    >>> [is_public(a) for a in ("93.184.215.14", "10.0.0.1", "::ffff:127.0.0.1", "169.254.169.254", "64:ff9b::7f00:1")]
    [True, False, False, False, False]
    """
    try:
        ip: Any = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False  # a host name, which the kernel would resolve itself
    if isinstance(ip, ipaddress.IPv6Address):
        behind = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else ip.ipv4_mapped or ip.sixtofour
        ip = behind or ip
    if ip.version == 6 and ip not in _UNICAST:
        return False
    return bool(ip.is_global and not ip.is_multicast) and not any(ip in network for network in _RESERVED)


@cache
def _install() -> None:
    sys.addaudithook(_audit)  # once per process: a hook cannot be removed


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event not in _EVENTS or not _active.get():
        return
    endpoint, address = args[0], args[-1]
    if endpoint.family not in (socket.AF_INET, socket.AF_INET6):
        raise AddressRefused(f"{address!r} is no address of the Internet")
    host = address[0] if isinstance(address, tuple) and address else address
    if host is not None and not is_public(str(host)):
        raise AddressRefused(
            f"{host} is private, loopback, link-local or reserved: set ALERT_ALLOW_PRIVATE_NETWORKS=true to allow it"
        )
