"""What can go wrong between this machine and the Hugging Face Hub, in sentences."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NO_ROOM = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}  # disk, file system, quota
_LIMIT_REACHED = re.compile(r"\br\s*=\s*0\s*;\s*t\s*=\s*(\d+)")  # RateLimit: "resolvers";r=0;t=55


class ModelNotFoundError(OSError):
    """There is no such model, or it lacks the files that a model needs, or they cannot be stored."""


class HubUnreachableError(OSError):
    """The Hub had to be asked, and did not answer, or refused to. `reason` says why, in a few words."""

    def __init__(self, name: str, reason: str, advice: str = "check the network or the proxy") -> None:
        super().__init__(
            f"the Hugging Face Hub cannot be reached for {name} ({reason}); {advice}, "
            f"or give a directory that holds the model"
        )
        self.reason = reason
        self.advice = advice


@contextmanager
def in_words(name: str, repository: str, revision: str) -> Iterator[None]:
    """Turn what huggingface_hub, its HTTP client and the disk may raise into our two errors."""
    from huggingface_hub import errors

    try:
        yield
    except (HubUnreachableError, ModelNotFoundError):
        raise
    except errors.GatedRepoError as error:
        raise ModelNotFoundError(
            f"{repository} is gated: accept its terms on the Hub, then log in with `hf auth login`"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelNotFoundError(
            f"the Hub has no repository {repository}, or it is private: check the name, or log in with `hf auth login`"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelNotFoundError(f"{repository} on the Hub has no revision {revision!r}") from error
    except errors.HFValidationError as error:
        raise ModelNotFoundError(f"{repository!r} cannot be the name of a repository on the Hub: {error}") from error
    except errors.LocalEntryNotFoundError as error:
        raise HubUnreachableError(name, in_a_few_words(error)) from error
    except errors.HfHubHTTPError as error:
        raise _refused(name, error.response) from error
    except ImportError as error:  # the HTTP client lacks what this proxy needs
        raise HubUnreachableError(name, in_a_few_words(error)) from error
    except (PermissionError, NotADirectoryError, FileExistsError, IsADirectoryError) as error:
        raise ModelNotFoundError(
            f"the cache of the Hub cannot be used ({error}): point HF_HOME to a folder that can be read and written"
        ) from error
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise ModelNotFoundError(
                f"{name} cannot be stored: {error.strerror}; free some space, or point HF_HOME to another disk. "
                f"What was downloaded stays, and the next start goes on from there"
            ) from error
        if error.errno is not None and not isinstance(error, ConnectionError):
            raise ModelNotFoundError(
                f"{name} cannot be stored: {error.strerror or error}; point HF_HOME to a folder that can be written"
            ) from error
        raise HubUnreachableError(name, in_a_few_words(error)) from error
    except Exception as error:
        if not is_of_the_network(error):
            raise
        if type(error).__name__ == "UnsupportedProtocol":
            raise HubUnreachableError(name, in_a_few_words(error), "check the address in HF_ENDPOINT") from error
        raise HubUnreachableError(name, in_a_few_words(error)) from error


def _refused(name: str, response: Any) -> HubUnreachableError:
    """The Hub answered, but with a status that is none of the errors which huggingface_hub has classes for."""
    answer = _status(response)
    if response.status_code == 401:
        return HubUnreachableError(name, answer, "log in again with `hf auth login`, or take HF_TOKEN away")
    if response.status_code == 429:
        wait = _asked_to_wait(response.headers)
        return HubUnreachableError(
            name, answer + (f" and asks to wait {wait}" if wait else ""), "wait, log in with `hf auth login`"
        )
    return HubUnreachableError(name, answer)


def _asked_to_wait(headers: Any) -> str | None:
    limit = _LIMIT_REACHED.search(headers.get("RateLimit", ""))
    after = limit[1] if limit else headers.get("Retry-After", "").strip()
    return f"{after} seconds" if after.isdigit() else f"until {after}" if after else None


def is_of_the_network(error: Exception) -> bool:
    """Whether an exception came from the Hub's HTTP client, whose own classes differ between its versions."""
    return type(error).__module__.split(".")[0] in {"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3"}


def in_a_few_words(error: Exception) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return _status(response)
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _status(response: Any) -> str:
    return f"it answers {response.status_code} {response.reason_phrase}".rstrip()
