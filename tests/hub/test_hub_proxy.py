"""The Hub behind a proxy: what goes through it, what goes past it, and one sentence where it lets nobody through."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest

from gpt2 import GPT2, HubUnreachableError, Source, download, transfer
from gpt2.hub import STORYBOOK
from tests.conftest import ROOT
from tests.gpt2.small import small_model, write_model
from tests.hub import proxy as http_proxy
from tests.hub.children import environment
from tests.hub.conftest import NOBODY, connect
from tests.hub.proxy import CDN, HUB, Proxy
from tests.hub.stand_in import COMMIT, Fault, StandIn, running

NAME = "owner/name"
ENDPOINT = f"http://{HUB}"  # which nobody but the proxy can find
PASSWORD = "pa55-w0rd"

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def proxy(hub: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy, and behind it a stand-in with one model, by names that only the proxy knows."""
    hub.add(NAME, write_model(tmp_path / "model", small_model()))
    with http_proxy.running(routes={HUB: hub.address, CDN: hub.cdn}) as proxy:
        hub.cdn = f"http://{CDN}"
        connect(monkeypatch, ENDPOINT)
        yield proxy


def with_password(address: str, user: str = "user", password: str = PASSWORD) -> str:
    return address.replace("//", f"//{user}:{password}@")


def sentence_of_failure() -> str:
    """What from_pretrained says, which has to be one sentence that is about the Hub and gives nothing away."""
    with pytest.raises(HubUnreachableError) as error:
        GPT2.from_pretrained(NAME)
    sentence = str(error.value)
    assert sentence.startswith(f"the Hugging Face Hub cannot be reached for {NAME} (")
    assert "\n" not in sentence
    assert "the proxy" in sentence
    assert PASSWORD not in "".join(traceback.format_exception(error.value))  # with the errors that led to this one
    return sentence


# --- through it, or past it ---


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_everything_goes_through_the_proxy(
    variable: str, proxy: Proxy, hub: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, proxy.address)
    assert GPT2.from_pretrained(NAME).source == Source(NAME, COMMIT)
    assert len(proxy.requests) == len(hub.requests) > 0
    fetched = {request.split("?")[0].rsplit("/", 1)[0] for request in proxy.requests if request.startswith("GET")}
    assert any(address.startswith(f"GET http://{HUB}/") for address in fetched)
    assert f"GET http://{CDN}/files" in fetched


def test_without_the_proxy_nobody_finds_the_hub(proxy: Proxy) -> None:
    """The counterpart of the test above."""
    sentence_of_failure()
    assert proxy.requests == []


@pytest.mark.parametrize("excepted", ["127.0.0.1", "*"])
def test_no_proxy_goes_past_it(excepted: str, proxy: Proxy, hub: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in by its own address, which the proxy would not be able to fetch."""
    hub.cdn = proxy.routes[CDN]
    connect(monkeypatch, hub.address)
    monkeypatch.setenv("HTTP_PROXY", proxy.address)
    sentence_of_failure()
    assert proxy.requests
    proxy.requests.clear()
    monkeypatch.setenv("NO_PROXY", excepted)
    huggingface_hub.close_session()
    assert GPT2.from_pretrained(NAME).source == Source(NAME, COMMIT)
    assert proxy.requests == []


def test_a_transfer_that_breaks_off_behind_the_proxy_goes_on(
    proxy: Proxy, hub: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.address)
    monkeypatch.setattr(transfer, "SECONDS_BETWEEN_ATTEMPTS", 0.0)
    hub.faults["model.safetensors"] = [Fault(stop_after=10_000)]
    assert GPT2.from_pretrained(NAME).source == Source(NAME, COMMIT)
    first, second = hub.transfers("model.safetensors")
    assert (first.sent, second.status) == (10_000, 206)
    assert first.sent + second.sent == hub.commits[NAME, COMMIT]["model.safetensors"].size


def test_a_model_in_the_cache_needs_no_proxy(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.address)
    GPT2.from_pretrained(NAME)
    monkeypatch.setenv("HTTP_PROXY", NOBODY)
    huggingface_hub.close_session()
    assert GPT2.from_pretrained(NAME, revision=COMMIT).source == Source(NAME, COMMIT)


# --- passwords ---


def test_the_password_is_sent_to_the_proxy_alone(proxy: Proxy, hub: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy.demands = ("user", "p@ss/word")
    monkeypatch.setenv("HTTP_PROXY", with_password(proxy.address, password="p%40ss%2Fword"))
    assert GPT2.from_pretrained(NAME).source == Source(NAME, COMMIT)
    assert 407 not in proxy.answers
    assert not [request for request in hub.requests if "authorization" in request.headers]


@pytest.mark.parametrize("given", ["none", "wrong"])
def test_a_password_that_the_proxy_refuses(given: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:  # law 13
    proxy.demands = ("user", "another")
    monkeypatch.setenv("HTTP_PROXY", proxy.address if given == "none" else with_password(proxy.address))
    assert "407" in sentence_of_failure()
    assert set(proxy.answers) == {407}


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize(
    "address",
    [
        f"http://user:{PASSWORD}@127.0.0.1:9",
        f"user:{PASSWORD}@127.0.0.1:9",
        f"http://user:{PASSWORD}@no-such-host.invalid",
        f"http://user:{PASSWORD}@127.0.0.1:port",
        f"http://user:{PASSWORD}/more@127.0.0.1:9",  # / # and ? have to be written as %2F, %23 and %3F
        f"http://user:{PASSWORD}#more@127.0.0.1:9",
        f"http://user:{PASSWORD}?more@127.0.0.1:9",
        f"http://user:{PASSWORD}\a@127.0.0.1:9",
        f"http://user:{PASSWORD}@",
        f"socks5://user:{PASSWORD}@127.0.0.1:9",
        f"ftp://user:{PASSWORD}@127.0.0.1:9",
    ],
)
def test_no_address_of_a_proxy_gives_its_password_away(
    address: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # law 13
    """Whatever is wrong with it, there is one sentence, and `sentence_of_failure` looks for the password in it."""
    monkeypatch.setenv(variable, address)
    sentence_of_failure()


# --- proxies in trouble ---


@pytest.mark.parametrize("status", [403, 500, 502, 504])
def test_a_proxy_that_refuses(status: int, proxy: Proxy, hub: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", with_password(proxy.address))  # law 13
    proxy.status = status
    assert str(status) in sentence_of_failure()
    assert hub.requests == []


def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:  # law 13
    monkeypatch.setenv("HTTP_PROXY", NOBODY)
    assert "refused" in sentence_of_failure()


def test_a_proxy_that_never_answers_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:  # law 13
    monkeypatch.setattr(download, "SECONDS_TO_ANSWER", 0.1)
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:  # the system accepts for it
        silent.setblocking(False)
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert "timed out" in sentence_of_failure()
        silent.accept()
        with pytest.raises(BlockingIOError):  # there was no second connection
            silent.accept()


# --- an encrypted Hub, which a proxy is asked to CONNECT to ---


@pytest.fixture
def encrypted(proxy: Proxy, hub: StandIn, monkeypatch: pytest.MonkeyPatch) -> Proxy:
    connect(monkeypatch, f"https://{HUB}")
    hub.cdn = f"https://{CDN}"
    monkeypatch.setenv("HTTP_PROXY", NOBODY)  # which is for addresses that begin with http
    monkeypatch.setenv("HTTPS_PROXY", with_password(proxy.address))
    return proxy


@pytest.mark.parametrize("status", [403, 407, 502])
def test_a_proxy_that_refuses_to_connect(status: int, encrypted: Proxy, hub: StandIn) -> None:  # law 13
    encrypted.status = status
    assert str(status) in sentence_of_failure()
    assert set(encrypted.requests) == {f"CONNECT {HUB}:443"}
    assert hub.requests == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    return http_proxy.write_certificate(tmp_path_factory.mktemp("certificate"))


def test_an_encrypted_hub_behind_a_proxy(
    certificate: Path, encrypted: Proxy, hub: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Hub's address begins with https and the proxy's with http, as is usual."""
    encrypted.demands = ("user", PASSWORD)
    encrypted.certificate = http_proxy.showing(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert GPT2.from_pretrained(NAME).source == Source(NAME, COMMIT)
    connects = [request for request in encrypted.requests if request.startswith("CONNECT")]
    assert set(connects) == {f"CONNECT {HUB}:443", f"CONNECT {CDN}:443"}
    assert len(encrypted.requests) - len(connects) == len(hub.requests) > 0
    assert not [request for request in hub.requests if "proxy-authorization" in request.headers]


def test_a_proxy_whose_certificate_nobody_knows(certificate: Path, encrypted: Proxy, hub: StandIn) -> None:  # law 13
    encrypted.certificate = http_proxy.showing(certificate)
    assert re.search("certificate", sentence_of_failure(), re.IGNORECASE)
    assert hub.requests == []


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_that_cannot_be_read(
    content: str | None, encrypted: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # law 13
    """The HTTP client reads them before the first request; it has nothing to do with storing the model."""
    file = tmp_path / "company.pem"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    assert "SSL_CERT_FILE" in sentence_of_failure()
    assert encrypted.requests == []


# --- the environment itself, in processes of their own ---


def test_scripts_and_python_go_through_the_proxy_of_the_environment(tmp_path: Path) -> None:
    """All at once. The proxy demands a password, which is in the environment; one process has a wrong one."""
    generate = ["scripts/generate.py", "Once upon a time", "--max-new-tokens", "3", "--model", "owner/storybook"]
    load = ["-c", "from gpt2 import GPT2; print(GPT2.from_pretrained('owner/storybook').source.revision)"]
    with running() as hub, http_proxy.running(routes={HUB: hub.address, CDN: hub.cdn}) as proxy:
        hub.cdn = f"http://{CDN}"
        hub.add("owner/storybook", STORYBOOK)
        proxy.demands = ("user", PASSWORD)
        right, wrong = with_password(proxy.address), with_password(proxy.address, password=PASSWORD + "!")
        processes = {
            name: subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=environment(tmp_path / name, ENDPOINT, HTTP_PROXY=address),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for name, command, address in [
                ("load", load, right),
                ("generate", [*generate, "--json"], right),
                ("wrong", generate, wrong),
            ]
        }
        answers = {name: (*process.communicate(timeout=120), process.returncode) for name, process in processes.items()}
    assert answers["load"][0] == f"{COMMIT}\n", answers["load"]
    assert answers["generate"][2] == 0, answers["generate"]
    assert json.loads(answers["generate"][0])["text"] == ", there was"
    assert len(proxy.requests) == len(hub.requests) + proxy.answers.count(407)
    out, error, code = answers["wrong"]
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert error.startswith("generate.py: the Hugging Face Hub cannot be reached for owner/storybook (")
    assert "407" in error
    assert PASSWORD not in error
