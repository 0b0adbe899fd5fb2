"""From a word, an address or a manifest to a dask client: where the work of a run is done.

Clusters made here are closed on every way out; clusters joined here never are.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from landsat_downsample.errors import LandsatDownsampleError, ReadError, UsageError
from landsat_downsample.execution import version_check
from landsat_downsample.model import environment
from landsat_downsample.model.nearest import did_you_mean

if TYPE_CHECKING:
    from distributed import Client

    from landsat_downsample.execution.dask_executor import DaskExecutor
    from landsat_downsample.model.policy import Policy

#: Bytes to read beyond which ``auto`` starts worker processes. On one machine they are not faster: a full-size
#: band takes 0.5 s of CPU either way (110 MiB/s), and threads scale because GDAL and NumPy release the lock.
#: They keep a crash or a lack of memory to one band, and cost 2 to 4 s to start and end and some
#: 0.05 s a band: from about 16 GiB on, a dozen full scenes, the start is lost in more than a minute of work.
MANY_BYTES = 16 << 30

#: Seconds for a connection to a scheduler, and for local worker processes to start.
CONNECT, START = 15.0, 60.0

WORDS = ("auto", "none", "local", "kubernetes")
_SCHEMES = ("tcp://", "tls://", "ws://", "wss://", "ucx://", "inproc://")


@contextmanager
def cluster(
    spec: str | Client = "auto",
    *,
    workers: int | None = None,
    work: int = 0,
    image: str | None = None,
    deadline: float = 300.0,
) -> Iterator[Client | None]:
    """Find or make the place where work is done.

    Parameters
    ----------
    spec : str or distributed.Client
        ``none``: this process and its threads. ``local``: worker processes of this machine.
        ``auto``: the scheduler of DASK_SCHEDULER_ADDRESS if that is set, else ``none`` or
        ``local`` by the amount of work. ``kubernetes``: a cluster of pods by the dask-kubernetes
        operator. Or a scheduler's address (``tcp://``, ``tls://``, ``ws://``), a scheduler file
        (``.json``), a DaskCluster manifest (``.yaml``), or a client, which is handed through.
    workers : int, optional
        Number of worker processes or pods, where they are made here; one for each CPU by
        default, or as many as the manifest says.
    work : int
        Bytes that will be read, for ``auto``.
    image : str, optional
        Container image of scheduler and workers on Kubernetes; LANDSAT_DOWNSAMPLE_IMAGE by
        default, else the manifest's.
    deadline : float
        Seconds that a Kubernetes cluster may take until one worker is ready.

    Yields
    ------
    distributed.Client or None
        None stands for the threads of this process.

    Raises
    ------
    UsageError
        The specification is not understood, or needs what is not installed.
    ReadError
        The scheduler does not answer.
    VersionError, KubernetesError
        The cluster runs other versions, or did not come about.

    Examples
    --------
    >>> with cluster("none") as client:
    ...     print(client)
    None
    """
    if workers is not None and workers < 1:
        raise UsageError(f"workers {workers!r} must be at least 1: it is a number of worker processes")
    if not isinstance(spec, str):
        yield _checked_client(spec)
        return
    spec = _automatic(work) if spec.strip() == "auto" else spec.strip()
    with ExitStack() as stack:
        if spec == "none":
            yield None
        elif spec == "local":
            yield _local(stack, workers)
        elif spec.startswith(_SCHEMES) or spec.endswith(".json"):
            yield _remote(stack, spec)
        elif spec == "kubernetes" or spec.endswith((".yaml", ".yml")):
            yield _on_kubernetes(stack, spec, workers=workers, image=image, deadline=deadline)
        else:
            raise UsageError(
                f"cluster {spec!r} is unknown{did_you_mean(spec, WORDS)}: give {', '.join(WORDS)}, a scheduler's "
                "address (tcp://...), a scheduler file (.json) or a DaskCluster manifest (.yaml)"
            )


def _checked_client(given: Client) -> Client:
    if not callable(getattr(given, "submit", None)) or not hasattr(given, "scheduler_info"):
        raise UsageError(f"cluster {given!r} is no dask client: give distributed.Client(...) or a word such as 'local'")
    version_check.check(given)
    return given


def _automatic(work: int) -> str:
    """Choose for ``auto``."""
    if address := environment.read("DASK_SCHEDULER_ADDRESS"):
        return address
    return "local" if work > MANY_BYTES else "none"


def _local(stack: ExitStack, workers: int | None) -> Client:
    import multiprocessing

    import dask
    from distributed import Client, LocalCluster

    from landsat_downsample.execution.threads import cpus

    # True in a child that is about to import the main script again, to start one more cluster.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UsageError(
            "cluster 'local' starts processes, which import the main script again: put its work under "
            "if __name__ == '__main__':, or use cluster 'none'"
        )
    stack.enter_context(_silence())
    stack.enter_context(
        dask.config.set(
            {
                "distributed.scheduler.allowed-failures": 2,
                "distributed.dashboard.link": dashboard_template(),
                "distributed.worker.daemon": True,
                # Their defaults cost a few per cent of a CPU in every process: a profile each 10 ms, disk counters.
                "distributed.worker.profile.interval": "100ms",
                "distributed.admin.system-monitor.interval": "2s",
                "distributed.admin.system-monitor.disk": False,
            }
        )
    )
    try:
        with _apart_from_ctrl_c():
            made = LocalCluster(
                n_workers=workers or cpus(),
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            )
    except Exception as error:
        raise ReadError(
            f"cluster 'local' did not start: {type(error).__name__}: {error}: use cluster 'none'"
        ) from error
    stack.callback(_closed, made.close, timeout=30)
    # Its workers can be reached from here: previews need not pass through the scheduler, which would copy each twice.
    client = Client(made, timeout=START, set_as_default=False, direct_to_workers=True)
    stack.callback(_closed, client.close)
    return client


def _remote(stack: ExitStack, spec: str) -> Client:
    import dask
    from distributed import Client

    named = {"scheduler_file": spec} if spec.endswith(".json") else {"address": spec}
    if "scheduler_file" in named and not os.path.isfile(spec):
        raise UsageError(f"scheduler file {spec!r} is not there: it is what 'dask scheduler --scheduler-file' writes")
    stack.enter_context(_silence())
    stack.enter_context(dask.config.set({"distributed.dashboard.link": dashboard_template(here=False)}))
    try:
        client = Client(**named, timeout=CONNECT, set_as_default=False)
    except (OSError, TimeoutError, ValueError, KeyError) as error:
        raise ReadError(
            f"cluster {spec!r}: its scheduler does not answer within {CONNECT:g} s ({type(error).__name__}): "
            "see that it runs and is reachable from here"
        ) from error
    stack.callback(_closed, client.close)
    version_check.check(client)
    return client


def _on_kubernetes(stack: ExitStack, spec: str, *, workers: int | None, image: str | None, deadline: float) -> Client:
    import dask
    from distributed import Client

    from landsat_downsample.execution import kubernetes

    version_check.check_extra("kubernetes")
    manifest = kubernetes.read_manifest(None if spec == "kubernetes" else spec)
    image = image or environment.read(kubernetes.IMAGE)
    manifest = kubernetes.prepared(manifest, kubernetes.run_id(), workers=workers, image=image)
    stack.enter_context(dask.config.set({"distributed.dashboard.link": dashboard_template()}))
    made = kubernetes.KubernetesCluster(manifest, deadline)
    stack.push(_removing(made.close))
    joined = made.start()
    try:
        client = Client(joined, timeout=CONNECT * 2, set_as_default=False)
    except OSError as error:
        raise ReadError(f"cluster {made.name!r}: its scheduler does not answer ({error})") from error
    stack.callback(_closed, client.close)
    made.await_workers(client)
    version_check.check(client, image=made.image)
    return client


@contextmanager
def _apart_from_ctrl_c() -> Iterator[None]:
    """Let the threads that are started here, and all processes that these ever start, not hear of SIGINT.

    A terminal sends it to workers too, which would die of it while this process lets scenes finish.
    """
    from multiprocessing import resource_tracker  # not above: a run on threads needs no processes

    resource_tracker.ensure_running()  # when it starts it unblocks SIGINT in the thread that needs it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep distributed's own lines off stderr: what matters of them is reported as an outcome."""
    names = ("distributed", "distributed.nanny", "distributed.scheduler", "distributed.client")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _closed(close: Callable[..., object], **options: float) -> None:
    """Close what may be gone already; the way out must not hide why it was taken."""
    try:
        close(**options)
    except (OSError, TimeoutError, RuntimeError):
        logging.getLogger(__name__).debug("closing failed", exc_info=True)


def _removing(close: Callable[[], None]) -> Callable[..., None]:
    """Remove on the way out; where that fails too, the first error is the one to report."""

    def leave(kind: type | None, error: BaseException | None, traceback: object) -> None:
        try:
            close()
        except LandsatDownsampleError as second:
            if error is None:
                raise
            error.add_note(str(second))

    return leave


def dashboard_template(*, here: bool = True) -> str:
    """Template of the dashboard's address, right where a browser does not run on this machine.

    In a kernel of a Jupyter server, its own or that of JupyterHub (JUPYTERHUB_SERVICE_PREFIX),
    the server's proxy (jupyter-server-proxy) leads to ports of this machine, or of another host
    where it is allowed to. What the user configured stays.

    Parameters
    ----------
    here : bool
        Whether the dashboard's port is one of this machine.
    """
    import dask
    import distributed  # noqa: F401  # its import brings its defaults

    given = str(dask.config.get("distributed.dashboard.link", ""))
    if given and not given.startswith("{scheme}://{host}:{port}"):
        return given
    prefix = _jupyter_prefix(here=here)
    if prefix is None:
        return "{scheme}://{host}:{port}/status"
    return prefix + ("/proxy/{port}/status" if here else "/proxy/{host}:{port}/status")


def _jupyter_prefix(*, here: bool) -> str | None:
    """Path of the Jupyter server of this kernel, where its proxy can lead to a dashboard; else None.

    A plain server writes its path to a file of the runtime folder, named after the process that
    its kernels know as JPY_PARENT_PID; its proxy leads to this machine only.
    """
    prefix, server = environment.read("JUPYTERHUB_SERVICE_PREFIX"), environment.read("JPY_PARENT_PID")
    if not prefix and server and here and importlib.util.find_spec("jupyter_server_proxy"):
        from jupyter_core.paths import jupyter_runtime_dir

        try:
            with open(os.path.join(jupyter_runtime_dir(), f"jpserver-{server}.json"), encoding="utf-8") as file:
                prefix = json.load(file)["base_url"]
        except (OSError, ValueError, KeyError):
            return None  # a kernel of something else: papermill, an editor
    return prefix.rstrip("/") if prefix else None


def dashboard_link(client: Client | None) -> str | None:
    """Address of a client's dashboard, for a browser; None without one, and where its page does not work."""
    if client is None or lacks_dashboard(client):
        return None
    try:
        return client.dashboard_link or None
    except (KeyError, ValueError, LandsatDownsampleError):
        return None


def lacks_dashboard(client: Client) -> bool:
    """Whether the scheduler's page would only say that bokeh is missing where it runs."""
    try:
        return bool(client.dashboard_link) and not client.run_on_scheduler(_has_pages)
    except Exception:  # there is no link, or the scheduler does not know this package and cannot be asked
        return False


def _has_pages() -> bool:
    return "distributed.dashboard.scheduler" in sys.modules  # distributed loads it where there is a bokeh that fits


def on_client(client: Client | None, *, owned: bool = False, policy: Policy | None = None) -> DaskExecutor | None:
    """The executor of a dask client; None for none.

    Parameters
    ----------
    owned : bool
        Whether its cluster is this run's alone, so that workers that hang may be restarted.
    policy : Policy, optional
        As of `HostQueue`.
    """
    if client is None:
        return None
    from landsat_downsample.execution.dask_executor import DaskExecutor

    return DaskExecutor(client, owned=owned, policy=policy)
