"""The official weights: where they would come from, which of them are here, and whether there is room for more."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scripts.weights.published import Found, in_cache, in_folder, in_units, nearest_folder, sha256_of, size_of, strays

from .finding import NOTE, OK, ROOT, Finding, Machine, published_models
from .reachability import ask_the_hub, without_password

VARIABLES = ("HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_TOKEN")
EMPTY = {  # what it means to huggingface_hub; the others count as not set
    "HF_HOME": "the cache is then in the folder where a command is started",
    "HF_HUB_CACHE": "the cache is then the folder where a command is started",
    "HF_ENDPOINT": "the Hub then has no address",
}
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")


def check_environment(machine: Machine) -> Iterator[Finding]:
    """The variables that decide where the official weights come from; no token and no password is shown."""
    unset = []
    for name in (*VARIABLES, *PROXIES):
        spellings = [name] if name in VARIABLES or os.name == "nt" else [name.lower(), name]  # the former wins
        there = [spelling for spelling in spellings if os.environ.get(spelling)]
        if name in EMPTY and os.environ.get(name) == "":
            yield Finding(name, NOTE, f"is set, but empty: {EMPTY[name]}", f"unset {name}, or give it a value")
        elif not there:
            unset.append(name)
        for spelling in there:
            yield _judge_variable(spelling, os.environ[spelling])
    if unset:
        yield Finding("not set", OK, ", ".join(unset))


def _judge_variable(name: str, value: str) -> Finding:
    upper = name.upper()
    if upper == "HF_TOKEN":
        return Finding(name, OK, "set; its value is not shown")
    if upper == "HF_HUB_OFFLINE" and value.upper() in ("1", "ON", "YES", "TRUE"):
        return Finding(name, NOTE, f"{value}: the Hub is not asked", "unset it where something is to be downloaded")
    if upper == "HF_ENDPOINT" and not re.match(r"https?://[^/]", value):
        return Finding(name, NOTE, f"{without_password(value)} is not an address", "write https://HOST")
    if upper == "NO_PROXY":
        return Finding(name, OK, value)
    if upper in PROXIES and value.lower().startswith("socks") and importlib.util.find_spec("socksio") is None:
        return Finding(name, NOTE, f"{without_password(value)} needs a package that is not here", "pip install socksio")
    return Finding(name, OK, without_password(value))


def check_weights_folder(machine: Machine) -> Iterator[Finding]:
    """GPT2_WEIGHTS: the folder of a teacher, looked at before the cache."""
    value = os.environ.get("GPT2_WEIGHTS")
    if not value:
        yield Finding("GPT2_WEIGHTS", OK, "not set; it names a folder with weights that is looked at first")
        return
    folder = nearest_folder(Path(os.path.expanduser(value)))  # noqa: PTH111  (Path's own raises for a home of nobody)
    if not Path(os.path.expanduser(value)).is_dir():  # noqa: PTH111
        machine.blocked |= set(published_models())
        advice = "set it to the folder that scripts/prefetch.py filled, or unset it: no published model loads like this"
        yield Finding("GPT2_WEIGHTS", NOTE, f"{value} is not a folder", advice)
        return
    findings = []
    for name, published in published_models().items():
        found = in_folder(folder / name, name, published)
        if found.state == "absent":  # the folder itself may be the one of a model
            found = in_folder(folder, name, published)
            if found.state in ("absent", "wrong size"):
                continue
        findings.append(_judge_model(machine, found, "in GPT2_WEIGHTS", "copy it again"))
        if findings[-1].mark != OK:
            machine.blocked.add(name)  # for it is looked at first
    if findings:
        yield Finding("GPT2_WEIGHTS", OK, f"{folder}")
        yield from findings
    else:
        yield Finding("GPT2_WEIGHTS", NOTE, f"{folder} holds no published model", "name the folder that holds gpt2/")


def check_cache(machine: Machine) -> Iterator[Finding]:
    """The Hub's cache: where it is, whether it can be written, and what it has of the published models."""
    if "huggingface_hub" in machine.unusable:
        yield Finding("cache", NOTE, "not looked at, because huggingface_hub cannot be used")
        return
    cache = cache_folder()
    nearest = nearest_folder(cache)
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        machine.can_download = False
        advice = "point HF_HOME to a folder that can be written"
        if cache.is_dir():
            advice += "; what is in the cache can be read all the same"
            yield Finding("cache", NOTE, f"{cache} cannot be written: {error.strerror}", advice)
        else:
            why = "" if isinstance(error, FileNotFoundError) else f": {error.strerror}"  # as /proc has it
            yield Finding("cache", NOTE, f"{cache} is not there and cannot be made in {nearest}{why}", advice)
    else:
        blocked = next((path for path in (cache, *cache.parents) if path.is_file()), None)
        if blocked is not None:
            machine.can_download = False
            yield Finding("cache", NOTE, f"{cache} cannot be made: {blocked} is a file", "point HF_HOME to a folder")
        else:
            yield Finding("cache", OK, f"{cache}" + ("" if cache.is_dir() else " (not there yet)"))

    models = published_models()
    absent = []
    for name, published in models.items():
        found = in_cache(cache, name, published)
        if found.state == "absent":
            absent.append(f"{name} ({in_units(published.n_bytes)})")
        else:
            yield _judge_model(machine, found, "in the cache", "delete this, and the next use downloads it again")
    if absent:
        yield Finding("not cached", OK, ", ".join(absent))
    left = strays(cache, [published.repository for published in models.values()])
    if left:
        n_bytes = sum(size_of(path) or 0 for path in left)
        text = f"{len(left)} file{'s' * (len(left) != 1)} of downloads that were killed: {in_units(n_bytes)}"
        folders = " ".join(sorted({str(path.parent / "*.incomplete") for path in left}))
        yield Finding("leftovers", NOTE, text, f"while nothing is being downloaded, delete {folders}")


def _judge_model(machine: Machine, found: Found, where: str, advice: str) -> Finding:
    """What a published model that lies somewhere is worth."""
    name, published = found.name, published_models()[found.name]
    if found.state == "part":
        share = found.n_bytes / published.n_bytes
        text = f"{where} in part: {in_units(found.n_bytes)} of {in_units(published.n_bytes)} ({share:.0%})"
        return Finding(name, NOTE, text, "the next use goes on from there")
    if found.state == "wrong size":
        text = f"{where} with {found.n_bytes:,} bytes instead of {published.n_bytes:,}: it is damaged"
        return Finding(name, NOTE, text, f"{advice}: {found.weights}")
    if found.state == "no config":
        return Finding(name, NOTE, f"{where} without its config.json", f"{advice}: config.json, beside {found.weights}")
    text = f"{where}, {published.n_bytes:,} bytes"
    if machine.hash and found.weights is not None:
        if sha256_of(found.weights) != published.sha256:
            text = f"{where} with the right size, but another sha256: it is damaged"
            return Finding(name, NOTE, text, f"{advice}: {found.weights}")
        text += ", and the published sha256"
    if name not in machine.blocked and name not in machine.here:
        machine.here.append(name)
    return Finding(name, OK, text)


def check_hub(machine: Machine) -> Iterator[Finding]:
    if not machine.network:
        yield Finding("Hub", OK, "not asked (--no-network)")
        return
    if "huggingface_hub" in machine.unusable:
        yield Finding("Hub", NOTE, "not asked, because huggingface_hub cannot be used")
        return
    answer = ask_the_hub(published_models()["gpt2"])
    machine.reached = answer.reached
    yield Finding("Hub", OK if answer.reached else NOTE, answer.text, answer.advice)


def check_disk(machine: Machine) -> Iterator[Finding]:
    """Free space where the cache is, beside what the models that are not there would take."""
    known = "huggingface_hub" not in machine.unusable
    folder = cache_folder() if known else ROOT
    if not machine.can_download and not folder.is_dir():
        yield Finding("disk", NOTE, "not measured, because the cache cannot be made")
        return
    free = shutil.disk_usage(nearest_folder(folder)).free
    wanted = {name: model.n_bytes for name, model in published_models().items() if name not in machine.here}
    text = f"{in_units(free)} free {'where the cache is' if known else 'here'}"
    if not wanted:
        yield Finding("disk", OK, text)
    elif sum(wanted.values()) <= free:
        yield Finding("disk", OK, f"{text}; the models that are not here take {in_units(sum(wanted.values()))}")
    else:
        short = [f"{name} ({in_units(size)})" for name, size in wanted.items() if size > free]
        text += f", too little for {', '.join(short)}" if short else ", enough for each model, but not for all"
        yield Finding("disk", NOTE, text, "free some space, or point HF_HOME to a larger disk" if short else "")


def cache_folder() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).absolute()
