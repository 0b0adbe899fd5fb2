"""A few requests to the Kubernetes API: objects are the plain dicts that its JSON is.

They go through kr8s, which dask-kubernetes brings along: kubeconfig, a pod's own service account
and its renewals, and exec plug-ins of the clouds all work as in kubectl.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import traceback
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from landsat_downsample.errors import LandsatDownsampleError, ReadError, UsageError
from landsat_downsample.model import environment
from landsat_downsample.storage.bugs import raise_bug

if TYPE_CHECKING:
    from httpx import Response

T = TypeVar("T")

DASK = "kubernetes.dask.org/v1"

#: Seconds that one request may take.
REQUEST = 30.0


class KubernetesError(LandsatDownsampleError):
    """The cluster did not come about, or Kubernetes refused."""


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """What the API server said."""

    status: int
    body: dict[str, Any]

    @property
    def message(self) -> str:
        """What the server says of a refusal, else its status."""
        return str(self.body.get("message", f"status {self.status}"))


class Api:
    """Requests to one cluster, from a thread of its own; a context manager.

    Raises
    ------
    UsageError
        dask-kubernetes is not installed, or no cluster is configured.
    """

    def __init__(self) -> None:
        try:
            import kr8s.asyncio
        except ImportError as error:
            raise UsageError(
                "cluster 'kubernetes' needs dask-kubernetes: pip install 'landsat-downsample[kubernetes]'"
            ) from error
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kubernetes-api", daemon=True)
        self._thread.start()
        try:
            with any_version():
                self._api = self._run(_connected(kr8s.asyncio.api))
        except Exception as error:
            self.close()
            raise UsageError(
                "cluster 'kubernetes': no Kubernetes is reachable with KUBECONFIG, ~/.kube/config or a pod's service "
                f"account ({type(error).__name__}: {error}): check with 'kubectl version'"
            ) from error

    def __enter__(self) -> Api:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close connections, and end the thread with its loop."""
        session = getattr(getattr(self, "_api", None), "_session", None)  # kr8s 0.20 closes it nowhere
        if session is not None:
            with suppress(Exception):
                self._run(session.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        if not self._thread.is_alive():
            self._loop.close()

    @property
    def namespace(self) -> str:
        """Namespace of the context or the pod."""
        # kr8s 0.20 reads the pod's only where it knows none, and it always knows "default".
        if self._api.namespace == "default" and environment.read("KUBERNETES_SERVICE_HOST") is not None:
            with suppress(OSError):
                return Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read_text().strip()
        return str(self._api.namespace)

    def request(self, method: str, version: str, path: str, body: dict[str, Any] | None = None) -> ApiResponse:
        """Ask once; a refusal is an answer too.

        Raises
        ------
        ReadError
            The server does not answer.
        """
        try:
            return self._run(self._request(method, version, path, body))
        except Exception as error:
            raise_bug(error, f"cannot {method} {path!r} from Kubernetes")
            raise ReadError(
                f"cannot {method} {path!r} from Kubernetes: {type(error).__name__}: {error or 'no answer'}"
            ) from error

    def items(self, version: str, path: str) -> list[dict[str, Any]]:
        """Objects of a collection; none where it may not be read or is not known."""
        answer = self.request("GET", version, path)
        return answer.body.get("items", []) if answer.status == 200 else []

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(REQUEST)

    async def _request(self, method: str, version: str, path: str, body: dict[str, Any] | None) -> ApiResponse:
        from kr8s import ServerError

        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        call = self._api.call_api(method, version=version, url=path, json=body, headers={"content-type": kind})
        try:
            async with call as response:
                return _answer(response)
        except ServerError as error:  # after kr8s has renewed a credential that ran out
            if error.response is None:
                raise
            return _answer(error.response)


def _answer(response: Response) -> ApiResponse:
    try:
        return ApiResponse(response.status_code, response.json())
    except ValueError:  # logs are plain text
        return ApiResponse(response.status_code, {"message": response.text})


@contextmanager
def any_version() -> Iterator[None]:
    """Any server that has the operator will do; kr8s warns of those older than it is tested with."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Kubernetes version", category=UserWarning)
        yield


class _ForwardedPorts(logging.Filter):
    """Keeps tracebacks of forwarded ports off stderr, where a browser asks for the dashboard of a cluster that is gone.

    dask-kubernetes forwards ports to the end of the process, whatever becomes of the cluster.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record of asyncio is of something else."""
        trace = record.exc_info[2] if record.exc_info else None
        return all(frame.f_globals.get("__name__") != "kr8s._portforward" for frame, _ in traceback.walk_tb(trace))


_FORWARDED_PORTS = _ForwardedPorts()


def quiet_ports() -> None:
    """From here on say nothing of forwarded ports that lead nowhere."""
    logging.getLogger("asyncio").addFilter(_FORWARDED_PORTS)


async def _connected(connect: Callable[[], Awaitable[T]]) -> T:
    return await connect()
