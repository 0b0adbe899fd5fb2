from __future__ import annotations

import pickle
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landsat_downsample.errors import UsageError
from landsat_downsample.model.location import Location, redact


@pytest.mark.parametrize(
    ("href", "safe"),
    [
        ("https://u:p@host:8443/a/B4.TIF?X-Amz-Signature=abc&X-Amz-Credential=k", "https://host:8443/a/B4.TIF"),
        ("https://host?sig=abc", "https://host"),
        ("s3://key:secret@bucket/B4.TIF", "s3://bucket/B4.TIF"),
        ("tar://a/B4.TIF::https://u:p@host/x.tar?sig=1", "tar://a/B4.TIF::https://host/x.tar"),
        ("https://host/B4.TIF#token=abc", "https://host/B4.TIF"),
        ("https://user@evil:p@host/B4.TIF", "https://host/B4.TIF"),
        ("/data/B4.TIF", "/data/B4.TIF"),
    ],
)
def test_redacted_hrefs_hold_no_secret(href, safe):
    assert Location(href).shown == safe


@pytest.mark.parametrize(
    ("href", "name"),
    [
        ("https://host/LE07_B6_VCID_1.TIF?requestSignature=a/b&x=/c.TIF", "LE07_B6_VCID_1.TIF"),
        ("https://host/LT05_L1TP_B4.TIF#frag", "LT05_L1TP_B4.TIF"),
        ("s3://b/LM01/LM01_B4.TIF", "LM01_B4.TIF"),
        ("file:///a%20b/B4.TIF", "B4.TIF"),
        ("/a/b/", "b"),
        ("https://host/a%20b;rm -rf.TIF", "a b;rm -rf.TIF"),
        ("tar://LC08/B4.TIF::/x.tar", "B4.TIF"),
    ],
)
def test_names_come_from_the_path_alone(href, name):
    assert Location(href).name == name


def test_joining():
    for base, name, joined in (
        ("/a/b", "c.TIF", "/a/b/c.TIF"),
        ("memory://x", "c", "memory://x/c"),
        ("s3://bucket", "p/c", "s3://bucket/p/c"),
        ("s3://", "bucket", "s3://bucket"),
        ("/a/s.tar", "c.TIF", "tar://c.TIF::/a/s.tar"),
        ("tar://a/::/s.tar", "c.TIF", "tar://a/c.TIF::/s.tar"),
        ("https://u:p@host/a/?sig=1#x", "c.TIF", "https://u:p@host/a/c.TIF?sig=1"),
    ):
        assert (Location(base) / name).href == joined
    assert Location("tar://c::/a.tar").is_local
    assert not Location("https://h/a").is_local
    with pytest.raises(UsageError, match="names a host"):
        _ = Location("file://server/share").path


@pytest.mark.parametrize(
    ("href", "parent"),
    [
        ("/a/b/c.TIF", "/a/b"),
        ("/c.TIF", "/"),
        ("s3://bucket/a/c.TIF", "s3://bucket/a"),
        ("tar://a/c.TIF::/data/s.tar", "/data/s.tar"),
        ("https://u:p@host/a/c.TIF?sig=1", "https://u:p@host/a?sig=1"),
    ],
)
def test_the_folder_of_a_file(href, parent):
    assert Location(href).parent.href == parent


SECRET = "https://me:Zq@host/a/B4.TIF?sig=Zq"


@pytest.mark.parametrize("href", [SECRET, f"tar://B4.TIF::{SECRET}", "s3://Zq:Zq@bucket/a/B4.TIF"])
def test_no_way_to_print_a_location_shows_a_secret(href):
    place = Location(href)
    for text in (str(place), repr(place), f"{place} {place!r} {[place]}", ", ".join(map(str, [place])), f"{place!s:s}"):
        assert "Zq" not in text and "B4.TIF" in text
    assert "Zq" in place.href and "Zq" in (place.parent / "B5.TIF").href


@given(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=30),
    st.sampled_from(["", "s3://", "HTTPS://", "tar://"]),
)
def test_a_location_is_a_value(text, start):
    href = start + text
    place = Location(href)
    assert place == Location(href) == pickle.loads(pickle.dumps(place)) and Location.of(place) is place
    assert hash(place) == hash(Location(href)) and place != Location(href + "x")
    assert place.shown == redact(href) and place.kind == (urlsplit(start).scheme or Location(text).kind)
