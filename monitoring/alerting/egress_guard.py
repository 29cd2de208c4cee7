"""Where a message may go: public addresses only, unless ALERT_ALLOW_PRIVATE_NETWORKS.

What is checked is the address that a socket is about to connect to, not a name that is resolved once more later: so
redirects, proxies and names whose answer changes are held to it too. It is done by Python's own audit event of
`socket.connect`, hence for every library that is written in Python, within `egress_guard()` only.
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
#: All of IPv6 that is public; what lies outside leads elsewhere: site-local, local NAT64, IPv4 in forms of old.
_UNICAST: Final = ipaddress.ip_network("2000::/3")
#: What Python 3.11 takes for public within: IETF's own, relays of 6to4, documentation.
_RESERVED: Final = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "3fff::/20")))
_EVENTS: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_active: ContextVar[bool] = ContextVar("egress_guard", default=False)


class AddressRefused(Exception):
    """The address is private, loopback, link-local or otherwise not of the public Internet."""


@contextmanager
def egress_guard() -> Iterator[None]:
    """Within, no socket of this thread connects or sends to an address that is not public. Raises AddressRefused."""
    _install()
    token = _active.set(True)
    try:
        yield
    finally:
        _active.reset(token)


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public Internet, also behind the mappings of IPv6.

    >>> [is_public(a) for a in ("93.184.215.14", "10.0.0.1", "::ffff:127.0.0.1", "169.254.169.254", "64:ff9b::7f00:1")]
    [True, False, False, False, False]
    """
    try:
        ip: Any = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False  # a name, which the kernel would resolve by itself
    if isinstance(ip, ipaddress.IPv6Address):
        behind = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else ip.ipv4_mapped or ip.sixtofour
        ip = behind or ip
    if ip.version == 6 and ip not in _UNICAST:
        return False
    return bool(ip.is_global and not ip.is_multicast) and not any(ip in network for network in _RESERVED)


@cache
def _install() -> None:
    """Once in a process; a hook cannot be taken out again."""
    sys.addaudithook(_audit)


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
