"""A STAC API on loopback, in three flavours, which fails and misbehaves as it is told to.

=====================  =========================================================================
``planetary``          one item a scene, ids without the processing date; Query and CQL2; POST,
                       whole bodies with a token in its next links
``earth-search``       one item a scene; Query; next links with ``merge: false`` and a whole body
``usgs``               items for SR and ST; Query; next links with ``merge: true`` and a page
``plain``              core and item search only, by GET; properties cannot be asked for
=====================  =========================================================================

Faults, one for each search request: ``busy`` (503 with Retry-After: 0), ``limited`` (429), ``error``
(500), ``timeout`` (504), ``reset``, ``cut`` (half the body), ``garbage`` (not JSON), ``silence``, ``page`` (a web
page), ``redirect`` (307 to itself), ``refuse`` (400 with words); None lets a request pass. Tricks:
see `StacApi.tricks`.
"""

from __future__ import annotations

import asyncio
import copy
import json
import operator
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from aiohttp import web
from loopback import Loopback

_CORE = ("https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search")
_QUERY = "https://api.stacspec.org/v1.0.0/item-search#query"
_CQL2 = ("https://api.stacspec.org/v1.0.0/item-search#filter", "http://www.opengis.net/spec/cql2/1.0/conf/cql2-json")
_CONFORMS = {
    "planetary": (*_CORE, _QUERY, *_CQL2),
    "cql2": (*_CORE, *_CQL2),
    "earth-search": (*_CORE, _QUERY),
    "usgs": (*_CORE, _QUERY),
    "plain": _CORE,
}
_SIGNS = {"eq": operator.eq, "lte": operator.le, "in": lambda one, many: one in many}
_CQL2_SIGNS = {"=": "eq", "<=": "lte", "in": "in"}
_STATUS = {"busy": 503, "limited": 429, "error": 500, "timeout": 504}


@dataclass
class StacApi(Loopback):
    """Serves ``items``, and the files of ``folder`` under ``/files/``."""

    flavour: str = "planetary"
    items: list[dict] = field(default_factory=list)
    folder: Path | None = None
    tricks: frozenset[str] = frozenset()
    """``ignore`` (properties are passed over), ``loop`` (the second page leads to itself), ``repeat`` (the same page
    under ever new tokens), ``empty`` (an empty page first), ``away`` (next links to another host), ``scheme`` (next
    links with https, as behind a proxy), ``nolinks`` (a landing page without a search)."""
    most: int = 1000
    """Items in a page at most, whatever is asked for."""
    faults: deque = field(default_factory=deque)
    asked: list[dict] = field(default_factory=list)
    """Questions of the searches, in the order in which they came."""
    requests: list[str] = field(default_factory=list)

    def _make_runner(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/stac", self._landing)
        app.router.add_get("/stac/collections", self._collections)
        app.router.add_get("/stac/search", self._by_get)
        app.router.add_get("/page", self._page)
        if self.flavour != "plain":
            app.router.add_post("/stac/search", self._by_post)
        if self.folder is not None:
            app.router.add_static("/files/", self.folder)
        return web.AppRunner(app, handle_signals=False, shutdown_timeout=0.2)

    @property
    def url(self) -> str:
        return f"{self.endpoint}/stac"

    # Answers ---------------------------------------------------------------------------------

    async def _landing(self, _: web.Request) -> web.Response:
        self.requests.append("landing")
        search = [{"rel": "search", "type": "application/geo+json", "href": f"{self.url}/search"}]
        if self.flavour != "plain":
            search = [search[0] | {"method": "GET"}, search[0] | {"method": "POST"}]
        links = [{"rel": "data", "href": f"{self.url}/collections"}, *search]
        links = links[:1] if "nolinks" in self.tricks else links
        record = {"type": "Catalog", "id": "stac", "stac_version": "1.0.0", "description": "", "links": links}
        return web.json_response(record | {"conformsTo": _CONFORMS[self.flavour]})

    async def _collections(self, _: web.Request) -> web.Response:
        self.requests.append("collections")
        names = sorted({item["collection"] for item in self.items})
        return web.json_response({"collections": [{"id": name, "type": "Collection"} for name in names]})

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(text="<!DOCTYPE html><title>Sign in</title>", content_type="text/html")

    async def _by_post(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, await request.json())

    async def _by_get(self, request: web.Request) -> web.StreamResponse:
        question: dict = dict(request.query)
        for name in ("collections", "bbox"):
            if name in question:
                question[name] = question[name].split(",")
        if "bbox" in question:
            question["bbox"] = [float(number) for number in question["bbox"]]
        for name in ("query", "filter"):
            question |= {name: json.loads(question[name])} if name in question else {}
        return await self._answer(request, question)

    async def _answer(self, request: web.Request, question: dict) -> web.StreamResponse:
        fault = self.faults.popleft() if self.faults else None
        self.asked.append(question)
        self.requests.append(f"{request.method} search {fault or ''}".strip())
        if fault in _STATUS:
            return web.Response(status=_STATUS[fault], headers={"Retry-After": "0"} if fault == "busy" else {})
        if fault in ("reset", "silence"):
            await asyncio.sleep(30 if fault == "silence" else 0)
            request.transport.abort()
        if fault == "page":
            return await self._page(request)
        if fault == "redirect":
            raise web.HTTPTemporaryRedirect(request.rel_url)
        if fault == "refuse":
            return web.json_response({"code": "400", "description": "bbox is out of range"}, status=400)
        record = json.dumps(self._result(question)).encode()
        if fault == "garbage":
            return web.Response(body=b"{" + record, content_type="application/json")
        response = web.StreamResponse(headers={"Content-Length": str(len(record))})
        await response.prepare(request)
        await response.write(record[: len(record) // 2] if fault == "cut" else record)
        if fault == "cut":
            request.transport.close()
        return response

    # Searching -------------------------------------------------------------------------------

    def _result(self, question: dict) -> dict:
        found = [item for item in self.items if self._fits(item, question)]
        start = int(question.get("token", question.get("next", question.get("page", 0))))
        page = min(int(question.get("limit", 10)), self.most)
        if "repeat" in self.tricks:
            found = found[:page] * 50
        shown = [] if "empty" in self.tricks and start == 0 else found[start : start + page]
        stop = start if not shown and start == 0 else start + page
        links = [self._next(question, stop, start)] if stop < len(found) else []
        items = [self._served(item) for item in shown]
        return {"type": "FeatureCollection", "features": items, "links": links, "numberMatched": len(found)}

    def _next(self, question: dict, stop: int, start: int) -> dict:
        if "empty" in self.tricks and start == 0:
            self.tricks = self.tricks - {"empty"}
        if "loop" in self.tricks and start:
            stop = start
        href = f"{self.url}/search"
        href = href.replace("127.0.0.1", "stac.invalid") if "away" in self.tricks else href
        href = href.replace("http:", "https:") if "scheme" in self.tricks else href
        if self.flavour == "plain":
            flat = {name: ",".join(map(str, v)) if isinstance(v, list) else v for name, v in question.items()}
            return {"rel": "next", "href": f"{href}?{urlencode(flat | {'token': stop})}"}
        link = {"rel": "next", "type": "application/geo+json", "method": "POST", "href": href}
        if self.flavour == "usgs":
            return link | {"merge": True, "body": {"page": stop}}
        if self.flavour == "earth-search":
            return link | {"merge": False, "body": question | {"next": str(stop)}}
        return link | {"body": question | {"token": str(stop)}}

    def _served(self, item: dict) -> dict:
        """An item as this API gives it: assets at absolute hrefs, a self link of its own."""
        item = copy.deepcopy(item)
        for asset in item["assets"].values():
            asset["href"] = asset["href"].replace("{origin}", self.endpoint)
        href = f"{self.url}/collections/{item['collection']}/items/{item['id']}"
        item["links"] = [{"rel": "self", "href": href}, {"rel": "root", "href": self.url}]
        return item

    def _fits(self, item: dict, question: dict) -> bool:
        if item["collection"] not in question.get("collections", [item["collection"]]):
            return False
        if "datetime" in question:
            first, _, last = question["datetime"].partition("/")
            moment = item["properties"]["datetime"]
            if (first != ".." and moment < first) or (last != ".." and moment > last):
                return False
        if "bbox" in question:
            west, south, east, north = question["bbox"]
            box = item["bbox"]
            if box[0] > east or box[2] < west or box[1] > north or box[3] < south:
                return False
        return "ignore" in self.tricks or all(_holds(item["properties"], *rule) for rule in _rules(question))


def _rules(question: dict) -> list[tuple[str, str, object]]:
    rules = [(name, sign, v) for name, tests in question.get("query", {}).items() for sign, v in tests.items()]
    if "filter" in question:
        said = question["filter"]
        assert question["filter-lang"] == "cql2-json"
        for part in said["args"] if said["op"] == "and" else [said]:
            rules.append((part["args"][0]["property"], _CQL2_SIGNS[part["op"]], part["args"][1]))
    return rules


def _holds(properties: dict, name: str, sign: str, value: object) -> bool:
    return properties.get(name) is not None and _SIGNS[sign](properties[name], value)


# Items ---------------------------------------------------------------------------------------


def usgs_items(scene: Path) -> list[dict]:
    """The two items of a synthetic scene in a served folder, as USGS' API gives them."""
    items = [json.loads(path.read_text()) for path in sorted(scene.glob("*_stac.json"))]
    for item in items:
        for asset in item["assets"].values():
            asset["href"] = f"{{origin}}/files/{scene.name}/{asset['href'].removeprefix('./')}"
    return items


def one_item(scene: Path, *, processed: bool = True) -> dict:
    """The item of a synthetic scene as the Planetary Computer and Earth Search have it: one for all bands."""
    first, second = usgs_items(scene)
    name = scene.name if processed else "_".join(p for i, p in enumerate(scene.name.split("_")) if i != 4)
    return first | {"id": name, "collection": "landsat-c2-l2", "assets": second["assets"] | first["assets"]}


def like(item: dict, number: int, **properties) -> dict:
    """Another item of the same kind, a day later for each number; its files do not exist."""
    made = copy.deepcopy(item)
    parts = made["id"].split("_")
    day = f"{2000 + number // 300}{1 + number // 25 % 12:02}{1 + number % 25:02}"
    parts[3] = day
    made["id"] = "_".join(parts)
    made["properties"] |= {"datetime": f"{day[:4]}-{day[4:6]}-{day[6:]}T10:00:00Z", **properties}
    return json.loads(json.dumps(made).replace(item["id"], made["id"]))
