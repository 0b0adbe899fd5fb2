"""What cannot be reached is told in words that say what is wrong and what to do, not by a Python class."""

from __future__ import annotations

import http.server
import re
import shutil
import ssl
import subprocess

import pytest
from command import call
from conftest_s3 import apply, s3_env, seaweed  # noqa: F401 - fixtures
from fault_proxy import FileServer
from loopback import serving

from landsat_downsample.errors import ReadError
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage import files as store
from landsat_downsample.storage import transport
from landsat_downsample.storage.retry import Fault, classify
from landsat_downsample.testing.seaweed import environ, free_port

#: Where a server leads, by the path that is asked for.
LEADS = {
    "/ftp": "ftp://127.0.0.1:9/B4.TIF",
    "/file": "file:///etc/hostname",
    "/no-url": "http://",
    "/round": "/round",
}


class Leading(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(302)
        self.send_header("Location", LEADS[self.path])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words):
        pass


@pytest.fixture(scope="module")
def leading():
    with serving(Leading) as address:
        yield address


def reported(href: str, **settings) -> str:
    """What is said of an href that cannot be read."""
    with pytest.raises(ReadError) as caught, store.fetch(store.FetchRequest(Location(href), policy=Policy(**settings))):
        pass
    words = str(caught.value)
    assert not re.search(r"[a-z]Error|[a-z]Exception|\n", words), words
    return words


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/ftp", "it redirects to what is neither http:// nor https://"),
        ("/file", "it redirects to what is neither http:// nor https://"),
        ("/no-url", "it redirects to what is not a valid URL"),
        ("/round", "it redirects in a loop"),
    ],
)
def test_a_redirect_that_leads_nowhere(path, words, leading):
    assert reported(f"{leading}{path}").endswith(words)


def refused(href: str) -> Fault:
    """How one request that fails is judged."""
    with pytest.raises(Exception) as caught:
        transport.head(Location(href), policy=Policy(), seconds=60)
    return classify(caught.value)


@pytest.mark.parametrize("href", ["http://{host}/B4.TIF", "https://{host}/B4.TIF", "s3://scenes/B4.TIF"])
def test_a_refused_connection_is_no_cut_one(href, monkeypatch):
    host = f"127.0.0.1:{free_port()}"
    apply(monkeypatch, environ(f"http://{host}"))
    assert refused(href.format(host=host)) == Fault(True, "the connection was refused: no server listens there")


@pytest.mark.parametrize("href", ["https://nothing.invalid/B4.TIF", "s3://scenes/B4.TIF"])
def test_a_host_that_is_unknown(href, monkeypatch):
    apply(monkeypatch, environ("https://nothing.invalid"))
    fault = refused(href)  # where nobody can be asked for names, they may be later
    assert fault in (Fault(False, "its host is unknown"), Fault(True, "its host's name cannot be looked up"))


def test_a_certificate_that_nobody_vouches_for(tmp_path, monkeypatch):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    subprocess.run([*words, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    with FileServer({}, tls=tls) as server:
        assert "its certificate is not valid" in reported(f"{server.endpoint}/B4.TIF")
        apply(monkeypatch, environ(server.endpoint))
        assert "AWS_CA_BUNDLE" in reported("s3://scenes/B4.TIF")


def test_a_server_without_tls_that_is_asked_for_it(monkeypatch):
    with FileServer({}) as server:
        endpoint = server.endpoint.replace("http://", "https://")
        assert "should it be http://?" in reported(f"{endpoint}/B4.TIF")
        apply(monkeypatch, environ(endpoint))
        assert "should it be http://?" in reported("s3://scenes/B4.TIF")


@pytest.mark.parametrize("ranges", [True, False])
def test_an_empty_file_is_called_empty(ranges):
    with FileServer({"/B4.TIF": b""}, ranges=ranges) as server:
        assert "it is empty" in reported(f"{server.endpoint}/B4.TIF")


def test_names_that_s3_does_not_allow(monkeypatch):
    apply(monkeypatch, environ(f"http://127.0.0.1:{free_port()}"))
    assert reported("s3:///B4.TIF").endswith(
        "its bucket or key has a name that S3 does not allow: give s3://BUCKET/KEY"
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"AWS_DEFAULT_REGION": "us east"}, "see AWS_DEFAULT_REGION and the profile"),
        ({"AWS_ENDPOINT_URL": "127.0.0.1:9000"}, "AWS_ENDPOINT_URL is no URL: give http://HOST:PORT"),
        ({"AWS_ENDPOINT_URL_S3": "127.0.0.1:9000"}, "AWS_ENDPOINT_URL is no URL: give http://HOST:PORT"),
    ],
)
def test_settings_of_s3_that_are_not_as_they_should_be(settings, words, monkeypatch):
    known = environ("http://127.0.0.1:1")
    gone = dict.fromkeys(("AWS_REGION", "AWS_ENDPOINT_URL", "FSSPEC_S3_ENDPOINT_URL"))
    apply(monkeypatch, known | gone | settings)
    assert words in reported("s3://scenes/B4.TIF", timeout=11 + len(words) / 100)  # a filesystem of its own


@pytest.mark.parametrize(
    ("href", "words"),
    [
        ("ftp://127.0.0.1/B4.TIF", "ftp:// cannot be read here: give a path, or an https:// or s3:// address"),
        ("htps://example.com/B4.TIF", "htps:// is not known (did you mean https?): give a path"),
        ("xyzzy://example.com/B4.TIF", "xyzzy:// is not known: give a path, or an https:// or s3:// address"),
    ],
)
def test_a_scheme_that_is_not_read(href, words, tmp_path):
    for argv in (("info", href), ("run", href, "--to", tmp_path / "out", "--factor", "4")):
        result = call(*argv)
        assert result.code == 1 and len(result.lines) == 1 and words in result.err


@pytest.mark.parametrize("place", ["memory://nowhere", "s3://scenes/nowhere"])
def test_a_status_is_told_only_where_it_was_answered(place, request):
    """The listing of an empty prefix is answered with 200; other stores know no statuses at all."""
    if place.startswith("s3"):
        request.getfixturevalue("s3_env")
    result = call("info", f"{place}/LC08_L2SP_192028_20230714_20230724_02_T1")
    assert result.code == 1 and "there is no such object" in result.err and "404" not in result.err, result.err
