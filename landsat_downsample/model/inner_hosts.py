"""Hosts that only this machine or its own network reaches, in whatever spelling. Pure.

Who opens a scene from a document of another host must not be led to these by it: they serve
whoever asks from here, and their answer could be published. A name says nothing for sure before
it is connected to (`_guard`); here is what the spelling alone says.
"""

from __future__ import annotations

import ipaddress
import socket
import unicodedata
from urllib.parse import unquote, urlsplit

from landsat_downsample.model.location import BUCKETS, Location

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Azure's metadata service: the one cloud that gives it a public address.
_AZURE = ipaddress.ip_address("168.63.129.16")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def canonical(host: str) -> str:
    """One spelling for a host, as an HTTP client understands it.

    >>> canonical("Example.COM."), canonical("0x7f.1"), canonical("[::FFFF:7f00:1]"), canonical("１２７。0.0.1")
    ('example.com', '127.0.0.1', '::ffff:7f00:1', '127.0.0.1')
    """
    text = unicodedata.normalize("NFKC", unquote(host)).replace("\u3002", ".")  # the full stop of Chinese and Japanese
    text = text.strip("[]").partition("%")[0].rstrip(".").lower()
    address = _address(text)
    if address is not None:
        return str(address)
    try:
        return text.encode("idna").decode()
    except UnicodeError:
        return text


def host_name(location: Location) -> str:
    """The host of a URL as `canonical` spells it; empty where there is none, but a bucket, say.

    >>> host_name(Location("https://me:word@Example.com:8080/B4.TIF"))
    'example.com'
    """
    if location.kind in ("file", "tar", *BUCKETS):
        return ""
    try:
        return canonical(urlsplit(location.href).hostname or "")
    except ValueError:  # brackets without an address in them
        return ""


def is_inside(host: str) -> bool:
    """Tell whether a host's name or address is one of this machine or of its own network.

    >>> is_inside("localhost"), is_inside("127.1"), is_inside("169.254.169.254"), is_inside("usgs.gov")
    (True, True, True, False)
    """
    name = canonical(host)
    if not name or name == "localhost" or name.endswith((".localhost", ".internal")):
        return True
    address = _address(name)
    return address is not None and _is_inner(address)


def is_this_machine(host: str) -> bool:
    """Tell whether a host's name or address means, on every machine, that machine itself.

    >>> is_this_machine("localhost"), is_this_machine("127.1"), is_this_machine("0.0.0.0"), is_this_machine("10.0.0.7")
    (True, True, True, False)
    """
    name = canonical(host)
    address = _address(name)
    loopback = address is not None and (address.is_loopback or address.is_unspecified)
    return loopback or name == "localhost" or name.endswith(".localhost")


def _address(text: str) -> Address | None:
    """The address that a text stands for: also ``127.1``, ``0x7f000001`` and ``2130706433``, as systems read them."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        pass
    try:
        return ipaddress.ip_address(socket.inet_aton(text))
    except (OSError, ValueError):  # a ValueError where it has a NUL
        return None


def _is_inner(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        within = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            within = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if within is None:
            return address not in _GLOBAL_UNICAST or not address.is_global
        address = within
    return not address.is_global or address.is_multicast or address == _AZURE
