"""Targets on dask workers: the bytes of one process, whatever dies, hangs or is taken away."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from command import wait_until
from conftest_s3 import apply
from fault_proxy import FaultProxy, FileServer
from staging_cases import PATIENT, served

import landsat_downsample as ld
from landsat_downsample.errors import ReadError
from landsat_downsample.execution.cluster import cluster
from landsat_downsample.execution.dask_executor import DaskExecutor, Limits
from landsat_downsample.execution.work import BandWork
from landsat_downsample.pipeline.band import process
from landsat_downsample.storage.publication import Publication


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    made = ld.make_scene(tmp_path_factory.mktemp("scene"), size=(700, 650), seed=1)
    return ld.plan(made, "unused", factor=7)[0].targets


@pytest.fixture
def publication(tmp_path):
    return Publication(str(tmp_path / "out"), "scene_downsampled")


def single(path: Path, shape=(64, 64), **options):
    """The target of a single file."""
    profile = {"driver": "GTiff", "width": shape[1], "height": shape[0], "count": 1, "dtype": "uint16", "nodata": 0}
    profile |= {"crs": "EPSG:32633", "transform": Affine(30, 0, 300000, 0, -30, 5000000), **options}
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(
            np.full((1, *(min(n, 64) for n in shape)), 7, np.uint16), window=((0, min(shape[0], 64)), (0, 64))
        )
    return ld.plan(path, "unused", factor=2)[0].targets[0]


def files(publication: Publication) -> dict[str, bytes]:
    """What is in the hidden folder, but for parts of files: those of a killed worker go at the commit."""
    [folder] = Path(publication.dest).glob(".*partial*")
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def test_bytes_of_one_process(local, targets, publication, tmp_path):
    here = Publication(str(tmp_path / "here"), "scene_downsampled")
    expected = [process(target, here) for target in targets]
    with DaskExecutor(local) as executor:
        assert executor.width == 2
        found = [future.result() for future in [executor.submit(BandWork(target, publication)) for target in targets]]
    assert files(publication) == files(here)
    assert [done.products for done in found] == [done.products for done in expected]


def test_a_task_is_small(targets, publication):
    assert max(len(pickle.dumps((target, publication))) for target in targets) < 8000


def test_error_of_a_target_is_its_own(local, targets, publication, tmp_path):
    broken = single(tmp_path / "broken.tif")
    (tmp_path / "broken.tif").write_bytes(b"II*\0")
    with DaskExecutor(local) as executor:
        bad, good = executor.submit(BandWork(broken, publication)), executor.submit(BandWork(targets[0], publication))
        assert isinstance(bad.exception(), ReadError)
        assert good.result().name == targets[0].band.name


def test_worker_killed_at_work(local, targets, publication, tmp_path, monkeypatch):
    apply(monkeypatch, PATIENT)
    here = Publication(str(tmp_path / "here"), "scene_downsampled")
    for target in targets:
        process(target, here)
    scene = Path(targets[0].band.href).parent
    with FileServer(served(scene)) as server, FaultProxy(server.endpoint) as web:
        held = ld.plan(f"{web.endpoint}/scene/{scene.name}_MTL.json", "unused", factor=7)[0].targets[0]
        web.hold(".TIF")  # a source that keeps one target at work
        with DaskExecutor(local, owned=True) as executor:
            futures = [executor.submit(BandWork(target, publication)) for target in (held, *targets[1:])]
            wait(futures[1:])
            [busy] = [worker for worker, keys in local.processing().items() if keys]
            os.kill(local.run(os.getpid, workers=[busy])[busy], signal.SIGKILL)
            web.let_go()
            assert [future.result().name for future in futures] == [target.band.name for target in targets]
    assert files(publication) == files(here)
    assert (executor.staff.most, executor.staff.lost) == (2, 1)


def test_a_worker_that_was_asked_to_go_is_not_lost(targets, publication):
    with cluster("local", workers=2) as client:
        with DaskExecutor(client) as executor:
            executor.submit(BandWork(targets[0], publication)).result()
            client.retire_workers([next(iter(client.nthreads()))])
            wait_until(lambda: len(client.nthreads()) == 1)
        assert (executor.staff.now, executor.staff.most, executor.staff.lost) == (1, 2, 0)


def test_halted_scene_ends_and_others_go_on(local, targets, publication, tmp_path):
    """It is halted while the workers are busy with something else."""
    other, free = Publication(str(tmp_path / "other"), "scene_downsampled"), tmp_path / "free"
    busy = [local.submit(wait_until, free.exists, key=f"busy-{worker}", workers=worker) for worker in local.nthreads()]
    with DaskExecutor(local) as executor:
        given_up = [executor.submit(BandWork(target, publication)) for target in targets * 5]
        kept = [executor.submit(BandWork(target, other)) for target in targets[:3]]
        assert given_up[0].cancel() is False
        window = 2 * executor.width + 4  # with the cluster already
        assert all(future.cancelled() for future in wait(given_up[window:]).done)
        free.touch()
        wait(given_up)
        assert [future.result().name for future in kept] == [target.band.name for target in targets[:3]]
    local.gather(busy)


def test_closing_at_once_leaves_nobody_waiting(local, targets, publication):
    executor = DaskExecutor(local)
    futures = [executor.submit(BandWork(target, publication)) for target in targets * 3]
    executor.close(now=True)
    wait(futures)
    assert all(future.cancelled() or future.exception() or future.result() for future in futures)
    assert futures[-1].cancelled() or "the run was interrupted" in str(futures[-1].exception())
    with pytest.raises(RuntimeError):
        executor.submit(BandWork(targets[0], publication))


@pytest.mark.slow
def test_hung_target_is_reported_and_its_worker_restarted(local, publication, tmp_path, targets):
    hung = single(tmp_path / "hung.tif")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never answers
        href = f"http://127.0.0.1:{silent.getsockname()[1]}/hung.tif"
        hung = replace(hung, band=replace(hung.band, href=href))
        with DaskExecutor(local, owned=True, limits=Limits(piece=1.0, poll=0.2, retries=1)) as executor:
            future = executor.submit(BandWork(hung, publication))
            assert "did not end within 1 s on worker" in str(future.exception())
        with DaskExecutor(local) as executor:
            assert executor.submit(BandWork(targets[0], publication)).result()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_hundreds_of_files_through_a_window(local, tmp_path):
    target = single(tmp_path / "small.tif")
    publications = [Publication(str(tmp_path / "out"), f"scene{k}_downsampled") for k in range(30)]
    most = 0
    with DaskExecutor(local) as executor:
        futures = [executor.submit(BandWork(target, publication)) for publication in publications for _ in range(20)]
        while wait(futures, timeout=0.1).not_done:
            most = max(most, local.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))
        assert sum(future.result().products[0].size > 0 for future in futures) == 600
    assert most <= 16


@pytest.mark.slow
def test_target_beyond_the_memory_of_its_worker(tmp_path, targets, publication):
    from distributed import Client, LocalCluster

    # One strip of 534 MB: GDAL must hold it whole.
    size = {"blockysize": 16000, "compress": "deflate", "sparse_ok": True}
    large = single(tmp_path / "large.tif", (16000, 16700), **size)
    options = {"n_workers": 1, "threads_per_worker": 1, "memory_limit": "400MiB", "silence_logs": 50}
    limits = Limits(retries=0)
    with (
        LocalCluster(**options, dashboard_address=None) as made,
        Client(made) as client,
        DaskExecutor(client, owned=True, limits=limits) as executor,
    ):
        reported = str(executor.submit(BandWork(large, publication)).exception())
        assert "most likely out of memory, whose limit is 0.39 GiB" in reported
        assert "large" in reported
        assert executor.submit(BandWork(targets[0], publication)).result()


@pytest.mark.slow
def test_no_worker_left(targets, publication):
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as made, Client(made) as client:
        made.scale(0)
        wait_until(lambda: not client.nthreads())
        with DaskExecutor(client, limits=Limits(starved=2.0, poll=0.2)) as executor:
            future = executor.submit(BandWork(targets[0], publication))
            assert "there was no worker for 2 s" in str(future.exception())


@pytest.mark.slow
def test_scheduler_lost(tmp_path, targets, publication):
    path = tmp_path / "scheduler.json"
    command = [sys.executable, "-m", "dask", "scheduler", "--port", "0", "--no-dashboard", "--host", "127.0.0.1"]
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen([*command, "--scheduler-file", str(path)], stdout=log, stderr=log)
    try:
        wait_until(path.exists, process)
        with cluster(str(path)) as client, DaskExecutor(client, limits=Limits(lost=3.0, poll=0.3)) as executor:
            future = executor.submit(BandWork(targets[0], publication))
            process.kill()
            assert "the scheduler was lost" in str(future.exception())
    finally:
        process.kill()
        process.wait()
