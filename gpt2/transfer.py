"""The bytes of one file, by plain HTTP, in as many attempts as bring it further."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

from .hub_errors import HubUnreachableError, in_a_few_words, is_of_the_network

ATTEMPTS = 5  # how often a transfer may break without having come further than before
SECONDS_BETWEEN_ATTEMPTS = 1.0
SECONDS_TO_CONNECT = 4.0  # to each address of the server that has the bytes

_LARGE = 1_000_000  # bytes, from which a bar shows the progress


def transfer(url: str, partial: Path, n_bytes: int | None, *, name: str, file: str) -> None:
    """Append what `partial` still lacks of the n_bytes that lie at this address of the Hub.

    Raises HubUnreachableError where it breaks off again and again. What has arrived stays, and the next call goes on
    from there.
    """
    from huggingface_hub import utils

    tools: Any = utils
    in_notebook = type(sys.stderr).__module__.startswith("ipykernel")  # no terminal, but it shows a bar
    hidden = None if n_bytes is None or n_bytes > _LARGE else True  # None: where there is no terminal
    with (
        partial.open("ab") as out,
        tools.tqdm(
            desc=file,
            total=n_bytes,
            initial=out.tell(),
            unit="B",
            unit_scale=True,
            disable=False if in_notebook and not hidden else hidden,
        ) as bar,
    ):
        beginning, furthest, failures = out.tell(), out.tell(), 0
        while n_bytes is None or out.tell() < n_bytes:
            try:
                _append(url, out, n_bytes, bar)
                break
            except Exception as error:
                if not _may_pass(error):
                    raise
                failures = failures + 1 if out.tell() <= furthest else 0
                furthest = max(furthest, out.tell())
                if furthest == beginning and (host := _never_connected_to(error)):  # a firewall: it will not pass
                    raise HubUnreachableError(name, f"{host}, from where it sends {file}, does not answer") from error
                if failures >= ATTEMPTS:
                    whole = "" if n_bytes is None else f" of {amount(n_bytes)}"
                    raise HubUnreachableError(
                        name,
                        f"the transfer broke off: {in_a_few_words(error)}; {amount(out.tell())}{whole} are here, "
                        f"and the next start goes on from there",
                    ) from error
                bar.set_postfix_str("broke off, going on")
                time.sleep(SECONDS_BETWEEN_ATTEMPTS)
                bar.set_postfix_str("", refresh=False)  # seen until the next bytes come


def _append(url: str, out: BinaryIO, n_bytes: int | None, bar: Any) -> None:
    """One request for the rest of the file. The HTTP client follows redirects, and keeps the token from other hosts."""
    from huggingface_hub import constants, get_session, hf_raise_for_status, utils

    tools: Any = utils
    start = out.tell()
    headers = {**tools.build_hf_headers(), "Accept-Encoding": "identity"}  # bytes as they are, so that they count
    if start:
        headers["Range"] = f"bytes={start}-"
    patience = constants.HF_HUB_DOWNLOAD_TIMEOUT
    timeout = (min(patience, SECONDS_TO_CONNECT), patience, patience, patience)  # to connect, read, write, wait in line
    with get_session().stream("GET", url, headers=headers, timeout=timeout) as response:
        if response.is_success and response.headers.get("Content-Type", "").startswith("text/html"):
            raise ConnectionError("a web page came instead of the file, perhaps the login or a filter of this network")
        if start and response.status_code in (200, 416):  # the whole file comes instead, or there is no such rest of it
            out.seek(0)
            out.truncate()
            bar.update(-start)
            start = 0
        hf_raise_for_status(response)
        if start and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise ConnectionError("another part of the file came than the one asked for")
        for chunk in response.iter_bytes():
            out.write(chunk)
            bar.update(len(chunk))
            if n_bytes is not None and out.tell() > n_bytes:
                return  # this is another file, as will be found
    out.flush()
    if n_bytes is not None and out.tell() < n_bytes:
        raise ConnectionError("it ended early")


def _may_pass(error: Exception) -> bool:
    """Whether the next attempt may succeed: a broken connection, or a server that is busy with itself."""
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        status: int = error.response.status_code
        return status in (408, 416) or status >= 500
    return is_of_the_network(error) or isinstance(error, ConnectionError)


def _never_connected_to(error: Any) -> str | None:
    """The host that did not answer at all, where this is what went wrong."""
    return str(error.request.url.host) if type(error).__name__ == "ConnectTimeout" else None


def amount(n_bytes: int) -> str:
    """In words."""
    return f"{n_bytes:,} bytes" if n_bytes < 10_000_000 else f"{n_bytes / 1e6:,.0f} MB"
