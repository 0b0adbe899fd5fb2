"""Documents of other hosts may not lead to this machine or its own network: by spelling, by name, or by redirect."""

from __future__ import annotations

import ipaddress
import json
import socket
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from command import call
from fault_proxy import FileServer
from hypothesis import given
from hypothesis import strategies as st
from stac_api import usgs_items
from staging_cases import QUICK, files, served, small

import landsat_downsample as ld
from landsat_downsample.batch.entry import Entry
from landsat_downsample.batch.requests import Order, SceneRequest
from landsat_downsample.batch.scene_lists import read_entries
from landsat_downsample.errors import ReadError, SceneError, UsageError
from landsat_downsample.formats import stac_source
from landsat_downsample.model.inner_hosts import canonical, is_inside
from landsat_downsample.model.location import Location
from landsat_downsample.model.options import Options
from landsat_downsample.model.policy import ALLOW_HOSTS, Policy
from landsat_downsample.storage import files as store

#: "Remote" hosts of these tests; all of them are servers on loopback that a user may name.
ITEMS, REBOUND = "items.example", "rebound.example"
BASE = f"https://{ITEMS}/item.json"


class Server(FileServer):
    """Sends some paths elsewhere."""

    def __init__(self, *args, **settings) -> None:
        super().__init__(*args, **settings)
        self.moved: dict[str, str] = {}

    async def _answer(self, request):
        if request.path in self.moved:
            return web.Response(status=302, headers={"Location": self.moved[request.path]})
        return await super()._answer(request)


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    return small(tmp_path_factory.mktemp("inner"))


@pytest.fixture
def names(monkeypatch):
    """Names that resolve to this machine, as those of an attacker's domain may; others are as they are."""
    found = {ITEMS: "127.0.0.1", REBOUND: "127.0.0.1"}
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: real(found.get(host, host), *rest, **more))
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def servers(scene, names):
    """The item's host, whose files the test may change, and an inner one that tells a secret."""
    with ExitStack() as stack:
        items = stack.enter_context(Server(served(scene)))
        inner = stack.enter_context(FileServer({f"/{name}": data for name, data in files(scene).items()}))
        inner.files["/secret"] = b"GROUP = SPACECRAFT_ID of the inner service"
        yield items, inner


def item_of(scene: Path, port: int, changes: dict[str, str]) -> bytes:
    """An item of all files of the scene; `changes` has other hrefs for some, by the end of their names."""
    ends = [path.name.removeprefix(f"{scene.name}_") for path in sorted(scene.glob("*")) if path.suffix != ".json"]
    hrefs = {end: changes.get(end, f"http://{ITEMS}:{port}/scene/{scene.name}_{end}") for end in ends}
    return json.dumps(
        usgs_items(scene)[0]
        | {"id": scene.name, "links": []}
        | {"assets": {end: {"href": href} for end, href in hrefs.items()}}
    ).encode()


def serve(servers, scene: Path, changes: dict[str, str]) -> str:
    items, _ = servers
    items.files["/item.json"] = item_of(scene, items.port, changes)
    return f"http://{ITEMS}:{items.port}/item.json"


def test_an_item_leads_to_its_own_host_alone(servers, scene, tmp_path):
    """The user named that host, inside as it is; one whose name resolves inside is not even connected to."""
    _, inner = servers
    assert ld.stage_in(serve(servers, scene, {}), tmp_path / "own")
    for end in ("ANG.txt", "SR_B4.TIF"):
        href = serve(servers, scene, {end: f"http://{REBOUND}:{inner.port}/{scene.name}_{end}"})
        with pytest.raises(ReadError, match=rf"host '{REBOUND}' is this machine or in its own network.*--allow-host"):
            ld.stage_in(href, tmp_path / end)
    assert inner.seen == [] and not (tmp_path / "ANG.txt" / scene.name).exists()


@pytest.mark.parametrize("target", ["http://127.0.0.1:{}/secret", f"http://{REBOUND}:{{}}/secret", "http://127.1:{}/s"])
def test_a_redirect_leads_nowhere_inside(servers, scene, tmp_path, target):
    items, inner = servers
    items.moved[f"/scene/{scene.name}_ANG.txt"] = target.format(inner.port)
    with pytest.raises(ReadError, match="in its own network"):
        ld.stage_in(serve(servers, scene, {}), tmp_path)
    with pytest.raises(ReadError, match="in its own network"):
        store.read_bytes(f"http://{ITEMS}:{items.port}/scene/{scene.name}_ANG.txt")
    assert inner.seen == []


def test_hosts_inside_are_allowed_by_name(servers, scene, tmp_path, monkeypatch):
    """By a parameter, an option or a variable; it goes with the bands to wherever they are read."""
    _, inner = servers
    href = serve(servers, scene, {"SR_B4.TIF": f"http://{REBOUND}:{inner.port}/{scene.name}_SR_B4.TIF"})
    opened = ld.open_scene(href, allow_hosts=[REBOUND.upper() + "."])
    band = opened.bands["SR_B4"]
    assert (band.led, band.allow_hosts) == (True, (REBOUND, ITEMS))
    assert type(band).from_dict(json.loads(json.dumps(band.to_dict()))) == band
    assert ld.Scene.from_dict(json.loads(json.dumps(opened.to_dict()))) == opened
    assert ld.run(ld.plan(opened, tmp_path / "a", factor=10))[0].status == "done"
    closed = replace(opened, bands=opened.bands | {"SR_B4": replace(band, allow_hosts=(ITEMS,))})
    with pytest.raises(ld.RunError, match=f"host '{REBOUND}'"):
        ld.run(ld.plan(closed, tmp_path / "b", factor=10))
    assert call("info", href).code == 1
    assert call("info", href, "--allow-host", REBOUND).code == 0
    assert call("info", href).code == 1  # the option was of that command alone
    monkeypatch.setenv(ALLOW_HOSTS, f"x.example, {REBOUND}")
    assert call("info", href).code == 0
    monkeypatch.setenv(ALLOW_HOSTS, "http://x.example/")
    assert "give its name or address alone" in call("info", href).err


def test_what_the_user_names_himself_is_read(servers, scene):
    """A URL that he types, and those of a document on his own disk; connections that were kept are for these only."""
    items, inner = servers
    typed = f"http://127.0.0.1:{inner.port}/{scene.name}_MTL.txt"
    assert store.read_bytes(typed).startswith(b"GROUP")
    policy = Policy.from_environ()
    assert store.read_bytes(typed, policy=policy.led_by(Location(f"http://127.0.0.1:{items.port}/item.json")))
    count = len(inner.seen)
    with pytest.raises(ReadError, match="own network"):
        store.read_bytes(typed, policy=policy.led_by(Location(BASE)))
    assert len(inner.seen) == count


def test_an_item_on_this_disk_may_name_hosts_inside(servers, scene, tmp_path):
    items, _ = servers
    changes = {
        f"{end}.TIF": f"http://127.0.0.1:{items.port}/scene/{scene.name}_{end}.TIF" for end in ("SR_B4", "SR_B5")
    }
    path = tmp_path / "item.json"
    path.write_bytes(item_of(scene, items.port, changes))
    opened = ld.open_scene(path)
    assert not opened.led and set(opened.bands) == {"SR_B4", "SR_B5", "QA_PIXEL"}


def test_a_remote_list_leads_nowhere_inside_now_or_later(servers, scene):
    """Its origin stays with an entry where that is kept on record, so that a retry is no way around."""
    items, inner = servers
    inside = f"http://{REBOUND}:{inner.port}/{scene.name}_SR_B4.TIF"
    item = json.loads(item_of(scene, items.port, {"SR_B4.TIF": inside}))
    items.files["/list"] = f"{inside}\n{json.dumps({'source': item, 'base': f'http://{REBOUND}:1/api'})}\n".encode()
    entries = read_entries([f"@http://{ITEMS}:{items.port}/list"])
    assert len(entries) == 2
    for entry in (*entries, *(Entry.from_dict(json.loads(json.dumps(entry.to_dict()))) for entry in entries)):
        with pytest.raises(ReadError, match=f"host '{REBOUND}'"):
            SceneRequest(entry, Order(Options(factor=10), ".")).plan()
    assert inner.seen == []


@pytest.mark.parametrize("end", ["ANG.txt", "MTL.txt", "MTL.json", "MTL.xml"])
@pytest.mark.parametrize("text", [b"root:x:0:0:root", b'{"token": "s"}', b"GROUP = A\nEND\n", b"<html/>"])
def test_what_is_no_metadata_file_is_not_published_as_one(scene, tmp_path, end, text):
    folder = tmp_path / scene.name
    folder.mkdir()
    for path in scene.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    for name in ("MTL.json", "MTL.txt", "MTL.xml"):
        if end not in (name, "ANG.txt"):
            (folder / f"{scene.name}_{name}").unlink(missing_ok=True)
    (folder / f"{scene.name}_{end}").write_bytes(text)
    for work in (
        lambda: ld.stage_in(folder, tmp_path / "staged"),
        lambda: ld.run(ld.plan(folder, tmp_path / "out", factor=10)),
    ):
        with pytest.raises((ReadError, SceneError, ld.RunError)):
            work()
    assert not list(tmp_path.rglob("staged/LC*")) and not list(tmp_path.rglob("out/LC*"))


# Spellings -----------------------------------------------------------------------------------

INNER = ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "0.0.0.0/8"]
inner_addresses = st.one_of([st.ip_addresses(v=4, network=network) for network in INNER])


def _full_width(text: str) -> str:
    return "".join(chr(ord(sign) - 0x20 + 0xFF00) for sign in text)


def _short(address: ipaddress.IPv4Address) -> str:
    first, *rest = address.packed
    return f"{first}.{int.from_bytes(rest, 'big')}"


SPELLINGS = {
    "plain": str,
    "dot": lambda a: f"{a}.",
    "decimal": lambda a: str(int(a)),
    "hexadecimal": lambda a: hex(int(a)),
    "octal": lambda a: ".".join(f"0{part:o}" for part in a.packed),
    "short": _short,
    "full width": lambda a: _full_width(str(a)),
    "ideographic": lambda a: str(a).replace(".", "\u3002"),
    "half-width": lambda a: str(a).replace(".", "\uff61"),
    "circled": lambda a: "".join(chr(0x245F + int(s)) if s in "123456789" else s for s in str(a)),
    "quoted": lambda a: "".join(f"%{ord(sign):02x}" for sign in str(a)),
    "mapped": lambda a: f"[::ffff:{a}]",
    "mapped, long": lambda a: f"[0:0:0:0:0:FFFF:{int(a) >> 16:x}:{int(a) & 0xFFFF:x}]",
    "compatible": lambda a: f"[::{a}]",
    "6to4": lambda a: f"[2002:{int(a) >> 16:x}:{int(a) & 0xFFFF:x}::1]",
    "NAT64": lambda a: f"[64:ff9b::{a}]",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(address=inner_addresses)
def test_no_spelling_of_an_inner_address_passes(spelling, address):
    href = f"http://{SPELLINGS[spelling](address)}:8080/x_ANG.txt"
    with pytest.raises(SceneError, match="refused"):
        stac_source.resolve(href, Location(BASE))


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST.", "a.localhost", "metadata.google.internal",
     "[::1]", "[fe80::1%25eth0]", "[fd00:ec2::254]",
     "[fec0::1]", "224.0.0.1", "168.63.129.16", "100.100.100.200", "", "[::1", "user:word@127.0.0.1", "ｌocalhost"],
)  # fmt: skip
def test_other_inner_hosts_are_refused(host):
    with pytest.raises((SceneError, UsageError), match=r"refused|is no URL"):
        stac_source.resolve(f"http://{host}/x_ANG.txt", Location(BASE))


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "[2606:4700::1111]", "[64:ff9b::8.8.8.8]", "[::ffff:8.8.8.8]", "usgs.gov", "bücher.example"]
)
def test_public_hosts_pass(host):
    assert not is_inside(host)
    assert stac_source.resolve(f"http://{host}/B4.TIF", Location(BASE)).href == f"http://{host}/B4.TIF"


def test_a_bucket_is_no_host():
    """One named like a host inside lends its name to no host."""
    assert Policy().led_by(Location("s3://localhost/item.json")).allow_hosts == ()
    with pytest.raises(SceneError, match="refused"):
        stac_source.resolve("http://localhost/x", Location("s3://localhost/item.json"))
    with pytest.raises(SceneError, match="another host"):
        stac_source.resolve("ftp://inner/x", Location("ftp://outer/item.json"))


def test_an_allowed_host_is_a_host():
    assert Policy().allowing(["Ex.AMPLE.", "0x7f.1"]).allow_hosts == ("ex.ample", "127.0.0.1")
    assert canonical("[::1]") == "::1"
    for wrong in ("", "http://x", "x/y"):
        with pytest.raises(UsageError, match="give its name"):
            Policy().allowing([wrong])
