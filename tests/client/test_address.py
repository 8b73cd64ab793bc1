"""An address is understood in every form in which people have it, and its token goes nowhere but to it."""

from __future__ import annotations

import pytest

from myagent.client import connect
from myagent.client.address import Address, parse, parse_link
from myagent.client.errors import BadToken, BadUrl


@pytest.mark.parametrize(
    ("text", "host", "port", "secure", "path", "token"),
    [
        ("ws://127.0.0.1:8765", "127.0.0.1", 8765, False, "", None),
        ("wss://agent.example.org", "agent.example.org", 443, True, "", None),
        ("http://127.0.0.1:8765/", "127.0.0.1", 8765, False, "", None),
        ("https://agent.example.org/", "agent.example.org", 443, True, "", None),
        ("http://192.0.2.7:9000/#mia_x.secret", "192.0.2.7", 9000, False, "", "mia_x.secret"),
        ("https://agent.example.org/agent/#mia_x.secret", "agent.example.org", 443, True, "/agent", "mia_x.secret"),
        ("wss://agent.example.org/a/b", "agent.example.org", 443, True, "/a/b", None),
        ("127.0.0.1:9000", "127.0.0.1", 9000, False, "", None),
        ("localhost", "localhost", 8765, False, "", None),
        ("agent.local:9000#mia_x.s", "agent.local", 9000, False, "", "mia_x.s"),
        ("::1", "::1", 8765, False, "", None),
        ("[::1]:9000", "::1", 9000, False, "", None),
        ("http://[2001:db8::1]:9000/", "2001:db8::1", 9000, False, "", None),
        ("  https://agent.example.org/agent  \n", "agent.example.org", 443, True, "/agent", None),
        ("https://agent.example.org/h%C3%A9/", "agent.example.org", 443, True, "/h%C3%A9", None),
    ],
)
def test_what_people_have_in_their_clipboard(
    text: str, host: str, port: int, secure: bool, path: str, token: str | None
) -> None:
    assert parse_link(text) == (Address(host, port, secure, path=path), token)


def test_an_address_reads_back_as_itself() -> None:
    for text in ("ws://127.0.0.1:8765", "wss://[::1]:443/agent", "wss://h:443/a%20b".replace("%20", "-")):
        assert str(parse(text)) == text
    assert parse("https://h/agent/").url(role="follower") == "wss://h:443/agent/?role=follower"
    assert parse("https://h/").url() == "wss://h:443/"


@pytest.mark.parametrize("text", ["ws://h:1/?x#secret", "ftp://h/#secret", "ws://u:secret@h", "ws://h:no#secret"])
def test_what_is_refused_does_not_tell_the_token(text: str) -> None:
    with pytest.raises(BadUrl) as caught:
        parse_link(text)
    assert "secret" not in str(caught.value)


def test_a_token_in_a_link_is_used_where_none_is_given_and_refused_where_it_is_not_wanted() -> None:
    connect("http://127.0.0.1:1/#mia_x.secret")
    with pytest.raises(BadToken):
        connect("http://127.0.0.1:1/")
    with pytest.raises(BadUrl):
        parse("http://127.0.0.1:1/#mia_x.secret")
