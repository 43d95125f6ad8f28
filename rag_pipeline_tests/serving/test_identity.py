"""Who asks: tokens in a file, an identity provider whose keys rotate, headers of a proxy."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from starlette.datastructures import Headers

from rag_pipeline.errors import Forbidden, SettingsError, Unidentified, UsageError
from rag_pipeline.serving import provider as provider_module
from rag_pipeline.serving.app import build_app
from rag_pipeline.serving.callers import Caller, caller_of, groups_of
from rag_pipeline.serving.identity import Identity, Proxy
from rag_pipeline.serving.provider import Provider, ProviderUnavailable
from rag_pipeline.serving.tokens import TokenFile, add_token, read_tokens, revoke_token
from rag_pipeline.settings.serving import JwtSettings, ProxySettings
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.serving.conftest import running, tokens_for
from rag_pipeline_tests.serving.test_api import assert_problem, with_serving

ISSUER, AUDIENCE = "https://id.example.com", "search"


# -- tokens -------------------------------------------------------------------------------------------------


def test_a_token_is_kept_as_its_hash_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    token, kept = add_token(path, "alice", ["staff", "staff"])
    assert token not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_tokens(path) == [kept]
    assert kept.groups == ("staff",)
    found = TokenFile(path).find(token)
    assert found is not None
    assert found.name == "alice"


def test_a_token_that_is_added_or_revoked_counts_at_once(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    tokens = TokenFile(path)
    assert tokens.find("ragp_any") is None
    first, kept = add_token(path, "alice", [])
    second, _ = add_token(path, "bob", [])
    assert tokens.find(first) is not None
    revoke_token(path, kept.token_id)
    assert tokens.find(first) is None
    assert tokens.find(second) is not None
    path.unlink()
    assert tokens.find(second) is None
    with pytest.raises(UsageError, match="there is no token"):
        revoke_token(path, kept.token_id)


def test_an_expired_token_does_not_count(tmp_path: Path) -> None:
    from datetime import UTC, datetime, timedelta

    path = tmp_path / "tokens.json"
    now = datetime.now(UTC)
    old, _ = add_token(path, "alice", [], now - timedelta(seconds=1))
    new, _ = add_token(path, "alice", [], now + timedelta(days=1))
    assert TokenFile(path).find(old) is None
    assert TokenFile(path).find(new) is not None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": 2, "tokens": []}', '{"format": 1, "tokens": [{"a": 1}]}']
)
def test_a_damaged_file_leaves_what_counted_before(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokens.json"
    token, _ = add_token(path, "alice", [])
    tokens = TokenFile(path)
    assert tokens.find(token) is not None
    path.write_text(content)
    assert tokens.find(token) is not None
    assert TokenFile(path).find(token) is None
    with pytest.raises(SettingsError, match="tokens anew"):
        read_tokens(path)


def test_a_file_that_could_not_be_opened_once_is_read_with_the_next_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tokens.json"
    token, kept = add_token(path, "alice", [])
    tokens = TokenFile(path)
    assert tokens.find(token) is not None
    revoke_token(path, kept.token_id)

    def refused(_: Path) -> bytes:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", refused)
        assert tokens.find(token) is not None
    assert tokens.find(token) is None


@pytest.mark.parametrize("name", ["", " ", "a\u200bb", "a  b", "\ud800"])
def test_a_token_is_for_a_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        add_token(tmp_path / "tokens.json", name, [])
    with pytest.raises(UsageError):
        add_token(tmp_path / "tokens.json", "alice", [name])


# -- callers ------------------------------------------------------------------------------------------------


def test_groups_are_texts_in_a_list_or_one_text() -> None:
    assert groups_of("eng") == ["eng"]
    assert groups_of(["eng", "hr"]) == ["eng", "hr"]
    assert groups_of(None) == []
    for claim in ({"eng": 1}, ["eng", 1], [["eng"]], 7, True, ["x"] * 3_000):
        with pytest.raises(Unidentified):
            groups_of(claim)


def test_a_prefix_keeps_a_claim_from_being_one_of_our_groups() -> None:
    caller = caller_of("board", ["public", "admin"], "jwt", ["admin"], "idp:")
    assert caller.principals == {"idp:board", "idp:public", "idp:admin", "public"}
    assert not caller.is_administrator
    with pytest.raises(Unidentified):
        caller_of("public", [], "jwt", [])
    with pytest.raises(Unidentified):
        caller_of(None, [], "jwt", [])


def test_looking_as_somebody_only_narrows() -> None:
    eve = Caller("eve", frozenset({"eve", "board", "public"}), "token", is_administrator=True)
    assert eve.seeing_as(["board"]).principals == {"board", "public"}
    assert eve.seeing_as([]).principals == {"public"}
    assert eve.seeing_as(None) is eve
    for wanted in (["staff"], ["board", "staff"]):
        with pytest.raises(Forbidden):
            eve.seeing_as(wanted)
    with pytest.raises(Forbidden, match="administrators"):
        Caller("bob", frozenset({"bob", "public"}), "token").seeing_as(["public"])


# -- an identity provider -----------------------------------------------------------------------------------


class KeyServer:
    """Publishes keys as a provider does; `keys` may change meanwhile, and `requests` counts."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {}
        self.requests = 0
        self.body: bytes | None = None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests += 1
                keys = [
                    RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid, "use": "sig"}
                    for kid, key in outer.keys.items()
                ]
                body = json.dumps({"keys": keys}).encode() if outer.body is None else outer.body
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/keys"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture(scope="module")
def keys() -> dict[str, Any]:
    return {
        name: rsa.generate_private_key(public_exponent=65_537, key_size=2_048) for name in ("old", "new", "foreign")
    }


@pytest.fixture
def key_server(keys: dict[str, Any]) -> Iterator[KeyServer]:
    server = KeyServer()
    server.keys = {"old": keys["old"]}
    yield server
    server.close()


def signed(key: Any, kid: str, algorithm: str = "RS256", **claims: Any) -> str:
    now = int(time.time())
    usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 60, "groups": ["eng"]}
    merged = {name: value for name, value in (usual | claims).items() if value is not None}
    return jwt.encode(merged, key, algorithm, headers={"kid": kid})


def provider(server: KeyServer, **settings: Any) -> Provider:
    return Provider(JwtSettings(issuer=ISSUER, audience=AUDIENCE, jwks_url=server.url, **settings), ["idp:root"])


def test_a_token_of_the_provider_names_its_caller(key_server: KeyServer, keys: dict[str, Any]) -> None:
    checked = provider(key_server, prefix="idp:")
    caller = checked.caller(signed(keys["old"], "old", groups=["eng", "root"]))
    assert caller.principals == {"idp:alice", "idp:eng", "idp:root", "public"}
    assert caller.is_administrator
    assert provider(key_server).caller(signed(keys["old"], "old", groups=None)).principals == {"alice", "public"}


def test_what_is_not_from_the_provider_for_us_and_now_does_not_count(
    key_server: KeyServer, keys: dict[str, Any]
) -> None:
    checked, past = provider(key_server), int(time.time()) - 600
    secret = b"whoever knows it could sign, and so could the server"
    forged = [
        signed(keys["foreign"], "old"),
        signed(keys["old"], "old", iss="https://else.example.com"),
        signed(keys["old"], "old", aud="mail"),
        signed(keys["old"], "old", aud=None),
        signed(keys["old"], "old", exp=past),
        signed(keys["old"], "old", exp=None),
        signed(keys["old"], "old", nbf=int(time.time()) + 600),
        signed(keys["old"], "old", sub=None),
        signed(keys["old"], "old", groups={"eng": True}),
        jwt.encode(
            {"iss": ISSUER, "aud": AUDIENCE, "sub": "a", "exp": past + 1_200}, None, "none", headers={"kid": "old"}
        ),
        jwt.encode(
            {"iss": ISSUER, "aud": AUDIENCE, "sub": "a", "exp": past + 1_200}, secret, "HS256", headers={"kid": "old"}
        ),
        "junk",
        "a.b.c",
    ]
    for token in forged:
        with pytest.raises(Unidentified):
            checked.caller(token)


def test_keys_rotate_and_forged_ones_do_not_flood_the_provider(
    key_server: KeyServer, keys: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_module, "COOLDOWN_SECONDS", 0.2)
    checked = provider(key_server)
    assert checked.caller(signed(keys["old"], "old")).name == "alice"
    key_server.keys = {"new": keys["new"]}
    threading.Event().wait(0.25)
    assert checked.caller(signed(keys["new"], "new")).name == "alice"
    assert key_server.requests == 2
    with pytest.raises(Unidentified):
        checked.caller(signed(keys["old"], "old"))
    for at in range(20):
        with pytest.raises(Unidentified):
            checked.caller(signed(keys["foreign"], f"forged-{at}"))
    assert key_server.requests <= 4


def test_a_provider_that_is_away_is_no_wrong_token(keys: dict[str, Any]) -> None:
    settings = JwtSettings(issuer=ISSUER, audience=AUDIENCE, jwks_url="http://127.0.0.1:9/keys")
    with pytest.raises(ProviderUnavailable):
        Provider(settings, []).caller(signed(keys["old"], "old"))


GARBAGE: dict[str, bytes] = {
    "no JSON": b"<html>",
    "no object": b"[]",
    "no keys": b'{"keys": []}',
    "odd keys": b'{"keys": 5}',
    "odd key": b'{"keys": [5]}',
    "no text": b"\xff\xfe\xfd",
    "nested": b"[" * 100_000,
    "cut off": b"",
}


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE)
def test_a_provider_that_says_anything_but_keys_is_no_wrong_token_and_is_left_alone(
    key_server: KeyServer, keys: dict[str, Any], monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    token, checked = signed(keys["old"], "old"), provider(key_server)
    key_server.body = body
    for _ in range(5):
        with pytest.raises(ProviderUnavailable):
            checked.caller(token)
    assert key_server.requests == 1
    key_server.body = None
    monkeypatch.setattr(provider_module, "COOLDOWN_SECONDS", 0)
    assert checked.caller(token).name == "alice"


def test_keys_that_are_known_count_while_the_provider_says_nothing_of_others(
    key_server: KeyServer, keys: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever shows forged tokens meanwhile holds up nobody: each would wait for the provider, one after another."""
    checked = provider(key_server)
    assert checked.caller(signed(keys["old"], "old")).name == "alice"
    monkeypatch.setattr(checked._keys, "cooldown_duration", 0)
    key_server.body = b"<html>"
    for at in range(20):
        with pytest.raises(ProviderUnavailable):
            checked.caller(signed(keys["foreign"], f"forged-{at}"))
        assert checked.caller(signed(keys["old"], "old")).name == "alice"
    assert key_server.requests == 2


def test_our_own_tokens_wait_for_no_provider(tmp_path: Path, key_server: KeyServer) -> None:
    jwt_settings = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_url": key_server.url}
    project = Project.create(tmp_path, serving={"jwt": jwt_settings})
    token, _ = add_token(project.pipeline().tokens_file, "alice", [])
    identity = Identity(project.pipeline())
    own, other = (Headers({"Authorization": f"Bearer {shown}"}) for shown in (token, f"a.b.c {token}"))
    assert not identity.may_block(own)
    assert identity.caller(own, None).name == "alice"
    assert identity.may_block(other)
    assert key_server.requests == 0


def test_a_server_takes_tokens_of_the_provider_and_its_own(
    lake: Project, key_server: KeyServer, keys: dict[str, Any]
) -> None:
    """The same callers over HTTP: named by a JWT, refused without its provider, and beside tokens of our own."""
    own = tokens_for(lake)["bob"]
    settings = {"jwt": JwtSettings(issuer=ISSUER, audience=AUDIENCE, jwks_url=key_server.url)}
    with running(build_app(with_serving(lake, **settings))) as url, httpx.Client(base_url=url, timeout=60) as client:

        def me(token: str) -> httpx.Response:
            return client.get("/v1/me", headers={"Authorization": f"Bearer {token}"})

        assert me(signed(keys["old"], "old", groups=["staff"])).json()["principals"] == ["alice", "public", "staff"]
        assert me(own).json()["name"] == "bob"
        assert_problem(me(signed(keys["foreign"], "old")), 401, "unidentified")
        assert_problem(me(signed(keys["old"], "old", aud="mail")), 401, "unidentified")
    away = {"jwt": JwtSettings(issuer=ISSUER, audience=AUDIENCE, jwks_url="http://127.0.0.1:9/keys")}
    with running(build_app(with_serving(lake, **away))) as url:
        header = {"Authorization": f"Bearer {signed(keys['old'], 'old')}"}
        answer = httpx.get(f"{url}/v1/me", headers=header, timeout=60)
    assert_problem(answer, 503, "provider_unavailable")
    assert answer.headers["retry-after"]


# -- a proxy ------------------------------------------------------------------------------------------------


def proxied(*headers: tuple[str, str], peer: str | None = "10.1.2.3", **settings: Any) -> tuple[str, list[str]] | None:
    made = Proxy(ProxySettings(addresses=("10.0.0.0/8", "::1"), **settings), {"SECRET": "s3cret-value"})
    return made.named(Headers(raw=[(name.lower().encode(), value.encode("latin-1")) for name, value in headers]), peer)


USER, GROUPS = ("X-Forwarded-User", "alice"), ("X-Forwarded-Groups", "eng, hr,,")


def test_headers_of_the_proxy_name_the_caller() -> None:
    assert proxied(USER, GROUPS) == ("alice", ["eng", "hr"])
    assert proxied(USER, peer="::ffff:10.0.0.1") == ("alice", [])
    assert proxied() is None
    assert proxied(("Remote-User", "alice"), user_header="Remote-User") == ("alice", [])


def test_a_proxy_names_people_in_utf_8() -> None:
    written = ("X-Forwarded-User", "jürgen".encode().decode("latin-1"))
    groups = ("X-Forwarded-Groups", "büro, отдел".encode().decode("latin-1"))
    assert proxied(written, groups) == ("jürgen", ["büro", "отдел"])
    with pytest.raises(Unidentified, match="UTF-8"):
        proxied(("X-Forwarded-User", "jürgen"))


@pytest.mark.parametrize("peer", ["192.168.0.1", "11.0.0.1", None, "garbage<x>", "127.0.0.1", "::2"])
def test_the_same_headers_from_elsewhere_are_refused(peer: str | None) -> None:
    with pytest.raises(Unidentified):
        proxied(USER, peer=peer)
    with pytest.raises(Unidentified):
        proxied(GROUPS, peer=peer)


def test_headers_that_come_twice_or_without_the_secret_are_refused() -> None:
    secret = ("X-Proxy-Secret", "s3cret-value")
    assert proxied(USER, secret, secret_variable="SECRET") == ("alice", [])
    for headers in ([USER, USER], [USER, GROUPS, GROUPS], [GROUPS]):
        with pytest.raises(Unidentified):
            proxied(*headers)
    for headers in (
        [USER],
        [USER, ("X-Proxy-Secret", "wrong")],
        [USER, ("X-Proxy-Secret", "é")],
        [USER, secret, secret],
    ):
        with pytest.raises(Unidentified):
            proxied(*headers, secret_variable="SECRET")
    with pytest.raises(SettingsError, match="OTHER"):
        proxied(USER, secret_variable="OTHER")


def test_saying_twice_who_asks_is_refused(tmp_path: Path) -> None:
    project = Project.create(tmp_path, serving={"anonymous": True, "proxy": {"addresses": ["127.0.0.1"]}})
    pipeline = project.pipeline()
    token, _ = add_token(pipeline.tokens_file, "alice", ["eng"])
    identity = Identity(pipeline)
    bearer = ("authorization", f"Bearer {token}")

    def who(*headers: tuple[str, str], peer: str = "127.0.0.1") -> Caller:
        return identity.caller(Headers(raw=[(name.encode(), value.encode()) for name, value in headers]), peer)

    assert who(bearer).principals == {"alice", "eng", "public"}
    assert who(("x-forwarded-user", "bob")).principals == {"bob", "public"}
    assert who().principals == {"public"}
    refused: list[list[tuple[str, str]]] = [
        [bearer, bearer],
        [bearer, ("x-forwarded-user", "bob")],
        [("authorization", "Basic YTpi")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer " + "x" * 20_000)],
        [("x-forwarded-user", "a\u200bb".encode().decode("latin-1"))],
    ]
    for headers in refused:
        with pytest.raises(Unidentified):
            who(*headers)
    with pytest.raises(Unidentified):
        who(("x-forwarded-user", "bob"), peer="10.0.0.1")
    # A group is not taken for a name that is everybody's.
    with pytest.raises(Unidentified):
        who(("x-forwarded-user", "public"))
