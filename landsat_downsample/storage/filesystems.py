"""Which client of fsspec reads a location, with which credentials: one for all threads of the process.

fsspec finds the credentials that there are for the user's own stores; a family's table says for which buckets they
are not.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from functools import partial
from inspect import signature
from typing import Any

from landsat_downsample import __version__
from landsat_downsample.errors import ReadError
from landsat_downsample.model import environment
from landsat_downsample.model.family import HrefRule, access_rule
from landsat_downsample.model.location import S3, WEB, Location
from landsat_downsample.model.nearest import did_you_mean
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage import earthdata
from landsat_downsample.storage.locks import process_lock

_lock = process_lock()
_filesystems: dict[tuple[Any, ...], Any] = {}


def filesystem(location: Location, policy: Policy) -> Any:
    """Give the fsspec filesystem of a location: one per process, shared by its threads.

    fsspec itself keeps one per thread, and so leaves a session behind for every thread that ends.
    """
    protocol = location.kind
    # Of its own for each set of hosts that may be inside: their connections are kept, and are not for others.
    inside = frozenset(policy.may_be_inside(location)) if protocol in WEB else frozenset()
    rule = access_rule(location.href) if protocol in S3 else None
    key = (os.getpid(), protocol, policy.timeout, policy.requester_pays, _endpoint(), inside, rule)
    with _lock:
        if key not in _filesystems:
            _filesystems[key] = _make(protocol, policy, inside, rule)
        return _filesystems[key]


def _endpoint() -> str | None:
    names = ("FSSPEC_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    return next(filter(None, map(environment.read, names)), None)


def _filesystem_class(protocol: str, options: dict[str, Any]) -> Any:
    """Find what reads a protocol and needs nothing more than these options.

    Raises
    ------
    ReadError
        There is none; the message says what would do.
    """
    import fsspec

    wanted = "give a path, or an https:// or s3:// address"
    try:
        found = fsspec.get_filesystem_class(protocol)
        signature(found.__init__).bind(None, **options)
    except ImportError as error:
        hint = "pip install 'landsat-downsample[s3]'" if protocol in S3 else f"{error}, or {wanted}"
        raise ReadError(f"{protocol}:// needs a package that is not installed: {hint}") from error
    except ValueError as error:
        near = did_you_mean(protocol, ("https", "http", "s3", "file"))
        raise ReadError(f"{protocol}:// is not known{near}: {wanted}") from error
    except TypeError as error:  # of ftp://, github:// ... a host or key is asked for besides the address
        raise ReadError(f"{protocol}:// cannot be read here: {wanted}, or fetch it first") from error
    return found


def _make(protocol: str, policy: Policy, inside: frozenset[str], rule: HrefRule | None) -> Any:
    import fsspec  # here, not above: with asyncio and ssl it is a sixth of what a run on local files would load
    from fsspec.asyn import sync

    ambient = fsspec.config.conf.get(protocol, {})
    options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
    if protocol in WEB:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=policy.timeout, sock_read=policy.timeout)
        options["client_kwargs"] = {"timeout": timeout, "trust_env": True} | ambient.get("client_kwargs", {})
        options["get_client"] = partial(_client, inside)
    elif protocol in S3:
        if not (_endpoint() or "https://").lower().startswith(("http://", "https://")):
            raise ReadError("the S3 endpoint of AWS_ENDPOINT_URL is no URL: give http://HOST:PORT, or https://HOST")
        timeouts: dict[str, Any] = {"connect_timeout": policy.timeout, "read_timeout": policy.timeout}
        timeouts |= {"retries": {"total_max_attempts": 1}, "max_pool_connections": 32}
        timeouts["user_agent"] = f"landsat-downsample/{__version__}"  # botocore's takes an eighth of a request's CPU
        options["config_kwargs"] = timeouts | ambient.get("config_kwargs", {})
        options["requester_pays"] = policy.requester_pays
        if rule:
            options |= _of_amazon(rule, policy, options["config_kwargs"])
        if options["requester_pays"]:  # s3fs 2026.2 and before say it of some requests only
            options["s3_additional_kwargs"] = {"RequestPayer": "requester"} | ambient.get("s3_additional_kwargs", {})
    fs = _filesystem_class(protocol, options)(**options)
    if protocol in S3:
        fs.retries = 1  # ours are classified and share one budget; s3fs would multiply them by 5
    if protocol in WEB:
        sync(fs.loop, fs.set_session)  # under the lock: it does not guard itself against two callers
    return fs


def _of_amazon(rule: HrefRule, policy: Policy, config: dict[str, Any]) -> dict[str, Any]:
    """Options for a bucket of Amazon's that the endpoint, keys and agreements of the user's own stores are not for."""
    options: dict[str, Any] = dict.fromkeys(("key", "secret", "token", "endpoint_url"))
    options |= {"anon": not rule.keys, "requester_pays": False, "client_kwargs": {"region_name": rule.region}}
    options["config_kwargs"] = config | {"ignore_configured_endpoint_urls": True}
    if rule.keys:
        options["session"] = _keys(rule, policy)
    return options


def _keys(rule: HrefRule, policy: Policy) -> Any:
    from landsat_downsample.storage import earthdata_keys

    service = Location(rule.keys)  # named by a table, by nobody else
    return earthdata_keys.session_of(earthdata_keys.Keys(filesystem(service, replace(policy, led=False)), service.href))


def forget_keys(location: Location, policy: Policy) -> None:
    """Let the next request for an object have new temporary keys."""
    filesystem(location, policy).session.get_component("credential_provider").keys.forget()


async def _client(inside: frozenset[str], **settings: Any) -> Any:
    import aiohttp

    from landsat_downsample.storage.host_guard import Connector

    logging.getLogger("aiohttp.client").addFilter(earthdata.no_netrc)
    return aiohttp.ClientSession(**settings | {"connector": Connector(inside), "middlewares": (earthdata.keep_home,)})
