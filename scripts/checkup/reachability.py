"""Asks the Hub one short question, the way this project's downloads do, and says in words why there was no answer."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from gpt2 import PublishedModel

SECONDS = 4.0  # for each step of the question; name servers, which cannot be hurried, get one more

_STICK = "or bring the weights on a stick (scripts/prefetch.py) and set GPT2_WEIGHTS to their folder"


class Answer(NamedTuple):
    """What came of the question."""

    reached: bool
    text: str
    advice: str = ""


def ask_the_hub(published: PublishedModel) -> Answer:
    """HEAD of the config.json of a published model, through the proxy that is set, after about 4 s at the latest."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # as gpt2/hub.py has it: a request that nobody asked for
    import huggingface_hub as hub

    address = hub.constants.ENDPOINT
    if hub.constants.HF_HUB_OFFLINE:
        return Answer(False, "not asked: HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE to download; the cache will do")
    outcome: list[BaseException | str | None] = []

    def ask() -> None:
        try:
            url = hub.hf_hub_url(published.repository, "config.json", revision=published.revision)
            outcome.append(hub.get_hf_file_metadata(url, timeout=SECONDS, retry_on_errors=False).commit_hash)
        except BaseException as error:
            outcome.append(error)

    started = time.monotonic()
    asking = threading.Thread(target=ask, daemon=True)  # so that what never ends does not hold up the page
    asking.start()
    asking.join(SECONDS + 1)
    taken = time.monotonic() - started
    proxy = proxy_for(address)
    shown = without_password(address) or "an address that is empty"
    way = f"{shown}{f' through the proxy {without_password(proxy)}' if proxy else ''}"
    if not outcome:
        return Answer(False, f"{way} is silent: no answer within {SECONDS:.0f} s", network_advice(address))
    if isinstance(outcome[0], BaseException):
        return in_words(outcome[0], way, address, proxy)
    if outcome[0] is None:
        return Answer(
            False,
            f"something answers at {way} that is not the Hub: a login page of this network, perhaps",
            f"open any page in a browser and log in there; {_STICK}",
        )
    return Answer(True, f"{way} answers in {taken:.1f} s")


def in_words(error: BaseException, way: str, address: str, proxy: str | None) -> Answer:
    """Why the question failed. The classes of the HTTP client differ between its versions, those of Python do not."""
    chain = list(_causes(error))
    status = next((_status(cause) for cause in chain if _status(cause) is not None), None)
    names = {type(cause).__name__ for cause in chain}

    def has(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in chain)

    def no(text: str, advice: str = "") -> Answer:
        return Answer(False, text, advice or network_advice(address))

    if status is not None:
        return _for_status(status, way, address, proxy)
    if not address:
        return no("the Hub has no address: HF_ENDPOINT is empty")
    if has(ImportError):
        return no(f"the proxy {without_password(proxy or '')} needs a package that is not here", "pip install socksio")
    if has(ssl.SSLCertVerificationError):
        return no(
            f"the certificate that {way} shows is not believed: a proxy that reads along, or a login page",
            "log in to the network with a browser; where a company or school reads along, set SSL_CERT_FILE to the "
            "file with its root certificate",
        )
    if has(ssl.SSLError):
        return no(f"{way} does not speak https as it should")
    if has(socket.gaierror):
        host = urlsplit(_with_scheme(proxy or address)).hostname or without_password(proxy or address)
        return no(f"nobody knows the name {host} (no DNS answer for it), asked for {way}")
    if has(ConnectionRefusedError):
        return no(f"{way} refuses the connection: nobody listens there" + (", or not to us" if proxy else ""))
    if has(TimeoutError) or any("Timeout" in name for name in names):
        return no(f"{way} is silent: no answer within {SECONDS:.0f} s")
    if any(getattr(cause, "errno", None) in (errno.ENETUNREACH, errno.EHOSTUNREACH) for cause in chain):
        return no(f"there is no way to {way}: this machine has no network")
    if has(ConnectionError) or names & {"RemoteProtocolError", "ReadError", "WriteError"}:
        return no(f"{way} ends the connection without an answer")
    if has(ValueError) or names & {"UnsupportedProtocol", "InvalidURL", "LocalProtocolError"}:
        return no(f"{way} is not an address; they look like https://name:port")
    file = next((str(cause.filename) for cause in chain if isinstance(cause, OSError) and cause.filename), None)
    if file is not None:  # the token, before anything is asked for
        from huggingface_hub import constants

        advice = "see the line `cache` above" if file.startswith(constants.HF_HOME) else "look at that file"
        return no(f"not asked, because {file} cannot be read", advice)
    return no(f"{way} cannot be asked ({type(error).__name__}: {first_line(error)})")


def network_advice(address: str) -> str:
    """What to do where the Hub cannot be reached: the variables that lead there come first."""
    by_proxy = proxy_variable(address)
    parts = []
    if "HF_ENDPOINT" in os.environ:
        value = without_password(os.environ["HF_ENDPOINT"]) or "empty"
        parts.append(f"HF_ENDPOINT is {value}: unset it, or correct it")
    if by_proxy is not None:
        parts.append(f"check the address in {by_proxy}")
    if not parts:
        parts.append("check the network; behind a proxy, set HTTPS_PROXY=http://NAME:PORT")
    return "; ".join([*parts, _STICK])


def _for_status(status: int, way: str, address: str, proxy: str | None) -> Answer:
    """Why a question was answered, but with a refusal."""
    if status == 407:
        variable = proxy_variable(address) or "HTTPS_PROXY"
        return Answer(
            False,
            f"the proxy {without_password(proxy or '')} wants a name and a password (407)",
            f"set {variable}=http://NAME:PASSWORD@HOST:PORT, with %40 for an @ in the password",
        )
    if status == 401:
        return Answer(
            False,
            f"{way} refuses the token that this machine sends, or wants one (401)",
            "renew it with `hf auth login`, or unset HF_TOKEN: the published models need none",
        )
    if status == 404:
        mirror = "HF_ENDPOINT" in os.environ
        advice = "check HF_ENDPOINT: is it a mirror of the whole Hub?" if mirror else network_advice(address)
        return Answer(False, f"{way} answers, but does not have gpt2 (404)", advice)
    if status == 429:
        return Answer(False, f"{way} is asked too often from here (429)", f"try again in some minutes; {_STICK}")
    if status >= 500:
        whose = "the proxy does not get there, or the Hub" if proxy else "the Hub"
        return Answer(False, f"{way} answers {status}: {whose} has trouble", f"try again in some minutes; {_STICK}")
    return Answer(False, f"{way} answers {status}, which is a refusal", network_advice(address))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int | None:
    """The HTTP status behind an exception: of an answer, or of a proxy that refused to open the way."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int):
        return status
    refused = re.match(r"(\d{3})\b", str(error)) if type(error).__name__ == "ProxyError" else None
    return int(refused[1]) if refused else None


# -- proxies and passwords --------------------------------------------------------------------------------------------


def proxy_for(address: str) -> str | None:
    """The proxy that requests to this address go through, as Python reads the environment and the system."""
    parts = urlsplit(address)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return _with_scheme(proxy)


def proxy_variable(address: str) -> str | None:
    """The variable that proxy_for found its proxy in; None without a proxy, or where the system's settings have it."""
    if proxy_for(address) is None:
        return None
    names = [f"{urlsplit(address).scheme}_proxy", "all_proxy"]
    spellings = [spelling for name in names for spelling in (name, name.upper())]
    return next((spelling for spelling in spellings if os.environ.get(spelling)), None)


def _with_scheme(address: str) -> str:
    return address if "://" in address else f"http://{address}"


def without_password(address: str) -> str:
    """The address with whatever stands before its last @ hidden: a password may hold any other character."""
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)?.*@", r"\1***@", address, flags=re.DOTALL)


def first_line(error: BaseException) -> str:
    """The beginning of what an exception says, without the passwords and the token of this environment."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    for secret in secrets():
        text = text.replace(secret, "***")
    return re.sub(r"//[^\s/]*@", "//***@", text)


def secrets() -> list[str]:
    """What must not be shown: tokens, and names and passwords in addresses, the longest first."""
    found = set()
    for name, value in os.environ.items():
        if name.upper() in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            found.add(value)
        elif name.upper().endswith("_PROXY") or name.upper() == "HF_ENDPOINT":
            before = value.partition("://")[2] or value
            before = before.rpartition("@")[0]
            found |= {before, before.partition(":")[2], unquote(before.partition(":")[2])}
    return sorted((secret for secret in found if len(secret) > 2), key=len, reverse=True)
