"""Where a call may be sent: whatever a stranger says, no further than the public internet, by HTTPS."""

from __future__ import annotations

import pytest

from myagent.push.endpoint import LENGTH, BadEndpoint, Endpoint, is_public, read_endpoint

GOOD = {
    "https://fcm.googleapis.com/fcm/send/abc:def-_": Endpoint("fcm.googleapis.com", 443, "/fcm/send/abc:def-_"),
    "https://updates.push.services.mozilla.com/wpush/v2/gAAA=": Endpoint(
        "updates.push.services.mozilla.com", 443, "/wpush/v2/gAAA="
    ),
    "https://web.push.apple.com/Qx_y": Endpoint("web.push.apple.com", 443, "/Qx_y"),
    "https://wns2-par02p.notify.windows.com/w/?token=BQY%2b": Endpoint(
        "wns2-par02p.notify.windows.com", 443, "/w/?token=BQY%2b"
    ),
    "https://push.example.org:8443": Endpoint("push.example.org", 8443, "/"),
    "https://PUSH.example.org/": Endpoint("push.example.org", 443, "/"),
}
HOSTILE = [
    "http://push.example.org/x",
    "HTTPS://push.example.org/x",
    "https:push.example.org/x",
    "https:///x",
    "https://",
    "//push.example.org/x",
    "file:///etc/passwd",
    "gopher://push.example.org/x",
    "javascript:alert(1)",
    "https://localhost/x",
    "https://localhost./x",
    "https://127.0.0.1/x",
    "https://127.1/x",
    "https://2130706433/x",
    "https://0x7f000001/x",
    "https://0x7f.1/x",
    "https://017700000001/x",
    "https://[::1]/x",
    "https://[::ffff:127.0.0.1]/x",
    "https://[fe80::1%25eth0]/x",
    "https://10.0.0.1/x",
    "https://169.254.169.254/latest/meta-data/",
    "https://192.168.1.1/x",
    "https://8.8.8.8/x",  # a push service has a name
    "https://printer/x",
    "https://user:secret@push.example.org/x",
    "https://push.example.org@127.0.0.1/x",
    "https://127.0.0.1#@push.example.org/x",
    "https://127.0.0.1\\@push.example.org/x",
    "https://push.example.org\\@127.0.0.1/x",
    "https://push.example.org:99999/x",
    "https://push.example.org:x/x",
    "https://push.example.org/x y",
    "https://push.example.org/x\r\nHost: inside",
    "https://push.example.org/x\tz",
    "https://push.example.org/\x00",
    "https://push.example.org/#x",
    "https://push..example.org/x",
    "https://-push.example.org/x",
    "https://push.example.org-/x",
    "https://ｐush.example.org/x",
    "https://push。example.org/x",
    "https://１２７.0.0.1/x",
    "https://push.example.123/x",
    "https://" + "a" * 64 + ".org/x",
    "https://push.example.org/" + "x" * LENGTH,
    "https://push.example.org/" + "x" * 10_000,
    "",
]


@pytest.mark.parametrize("url", GOOD)
def test_the_known_services_are_read(url: str) -> None:
    assert read_endpoint(url) == GOOD[url]


@pytest.mark.parametrize("url", HOSTILE, ids=lambda url: ascii(url)[:60])
def test_what_leads_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(BadEndpoint):
        read_endpoint(url)


def test_the_origin_is_without_the_usual_port() -> None:
    assert read_endpoint("https://push.example.org/x").origin == "https://push.example.org"
    assert read_endpoint("https://push.example.org:8443/x").origin == "https://push.example.org:8443"


@pytest.mark.parametrize("address", ["142.250.74.42", "2a00:1450:4001:82b::200a", "17.57.144.20", "::ffff:8.8.8.8"])
def test_addresses_of_the_internet_are_reached(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1"),
        *("169.254.169.254", "100.64.0.1", "192.0.0.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1"),
        *("255.255.255.255", "192.0.2.1", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1"),
        *("2002:7f00:1::1", "2002:a00:1::", "2001::1", "fec0::1", "2001:db8::1", "localhost", "", "1"),
    ],
)
def test_addresses_that_lead_inside_are_not(address: str) -> None:
    assert not is_public(address)
