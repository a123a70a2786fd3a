"""A folder of weights to hand round: what lies in it, how it is checked, and what its README tells a student.

FOLDER/gpt2/config.json, FOLDER/gpt2/model.safetensors       one folder a model, named as `--model` names it
FOLDER/SHA256SUMS      for `sha256sum -c`
FOLDER/sources.json    repository and commit of each model
FOLDER/README.txt      what to do, sources, licences
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from gpt2 import PUBLISHED, GPT2Config
from scripts.weights.published import CONFIG, WEIGHTS, in_units, model_of, sha256_of, size_of

ROOT = Path(__file__).resolve().parents[2]
SUMS, SOURCES, README = "SHA256SUMS", "sources.json", "README.txt"
ANEW = "delete it and fill the folder again"

_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_OPENAI = "openai-community/"


class Source(NamedTuple):
    """Where a model of the folder came from."""

    repository: str
    revision: str  # commit


class Judgement(NamedTuple):
    """What became of one file."""

    file: str  # "gpt2/model.safetensors"
    right: bool
    text: str
    sha256: str = ""  # of what is right, listed or not


# -- reading and writing ----------------------------------------------------------------------------------------------


def read_sums(folder: Path) -> dict[str, str]:
    """file -> sha256, as SHA256SUMS lists them; empty where there is no list. Raises ValueError for a damaged one."""
    path = folder / SUMS
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no list of sha256 sums; {ANEW}") from error
    except OSError as error:
        raise OSError(f"{path} cannot be read ({error.strerror}); {ANEW}") from error
    sums = {}
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"{path}, line {number}: {line[:60]!r} is no sha256 and file; {ANEW}")
        parts = re.split(r"[/\\]", match[2])
        if ".." in parts or not parts[0] or ":" in match[2]:
            raise ValueError(f"{path}, line {number}: {match[2]!r} lies outside of the folder; {ANEW}")
        sums[match[2]] = match[1]
    return sums


def read_sources(folder: Path) -> dict[str, Source]:
    """model -> where it came from."""
    path = folder / SOURCES
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): Source(str(row["repository"]), str(row["revision"])) for name, row in listed.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is damaged; {ANEW}") from error
    except OSError as error:
        raise OSError(f"{path} cannot be read ({error.strerror}); {ANEW}") from error


def write_lists(folder: Path, sums: Mapping[str, str], sources: Mapping[str, Source]) -> None:
    """SHA256SUMS, sources.json and README.txt, each replaced at once."""
    listed = {name: source._asdict() for name, source in sorted(sources.items())}
    write_at_once(folder / SUMS, "".join(f"{sha256}  {file}\n" for file, sha256 in sorted(sums.items())))
    write_at_once(folder / SOURCES, json.dumps(listed, indent=2) + "\n")
    write_at_once(folder / README, readme(folder, sums, sources))


def write_at_once(path: Path, text: str) -> None:
    """Whoever looks finds the old file or the new one, never a half."""
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(text, encoding="utf-8", newline="\n")
    os.replace(partial, path)  # noqa: PTH105


# -- checking ---------------------------------------------------------------------------------------------------------


def check(folder: Path) -> Iterator[Judgement]:
    """Every file that the folder should have: against SHA256SUMS, and the weights of published models against the hash
    that this project knows. Nobody is asked."""
    sums = read_sums(folder)
    for name in PUBLISHED:
        if (folder / name).is_dir():
            sums = {f"{name}/{file}": "" for file in (CONFIG, WEIGHTS)} | sums
    for file in sorted(sums):
        yield judge(folder, file, sums[file])


def judge(folder: Path, file: str, listed: str) -> Judgement:
    """One file. `listed` is its sha256 in SHA256SUMS, or empty where it has none there."""
    path = folder / file
    published = PUBLISHED.get(model_of(file))
    is_weights = published is not None and path.name == WEIGHTS
    try:
        n_bytes = path.stat().st_size
        if published is not None and is_weights and n_bytes != published.n_bytes:
            return Judgement(file, False, f"has {n_bytes:,} bytes instead of {published.n_bytes:,}")
        sha256 = sha256_of(path)
        config = GPT2Config.from_file(path) if published is not None and path.name == CONFIG else None
    except FileNotFoundError:
        return Judgement(file, False, "is missing")
    except OSError as error:
        return Judgement(file, False, f"cannot be read: {error.strerror}")
    except ValueError:
        return Judgement(file, False, "is no config of a GPT-2")
    if published is not None and is_weights and sha256 != published.sha256:
        return Judgement(file, False, "is damaged: its sha256 is not the published one")
    if listed and sha256 != listed:
        whose = "is right, but another sha256 is" if is_weights else "is damaged: its sha256 is not the one"
        return Judgement(file, False, f"{whose} in {SUMS}")
    if published is not None and config is not None and config != published.config:
        return Judgement(file, False, "describes another model")
    if not listed:
        return Judgement(file, False, f"is right, but not in {SUMS}", sha256)
    return Judgement(file, True, "the published file" if is_weights else f"as {SUMS} lists it", sha256)


# -- README.txt -------------------------------------------------------------------------------------------------------


def readme(folder: Path, sums: Mapping[str, str], sources: Mapping[str, Source]) -> str:
    """What a student reads who was given this folder."""
    sizes = {name: sum(size_of(folder / file) or 0 for file in sums if model_of(file) == name) for name in sources}
    width = max(map(len, sources), default=0)
    rows = "\n".join(f"  {name:{width}}  {in_units(sizes[name]):>7}" for name in sorted(sources))
    published = [name for name in PUBLISHED if name in sources]
    first = (published or sorted(sources) or ["gpt2"])[0]
    command = 'python3 scripts/in_venv.py scripts/generate.py "One day"'
    return "\n\n".join(
        [
            "Weights of language models, for the project \"Logits to text\".",
            f"In this folder:\n\n{rows}",
            *([_how_by_variable(command, published[0])] if published else []),
            f"{'Or name' if published else 'Name'} the folder of one model:\n\n"
            f"  {command} --model THIS_FOLDER/{first}\n\n"
            f"On Windows write py instead of python3.",
            "No network is needed on a machine where the project's environment is installed already. Elsewhere this\n"
            "installs it, once, and needs a network for that:\n\n"
            "  python3 scripts/in_venv.py scripts/doctor.py",
            "Did everything arrive? In this folder:\n\n"
            "  sha256sum -c SHA256SUMS            Linux\n"
            "  shasum -a 256 -c SHA256SUMS        macOS\n\n"
            "or, everywhere, in the project's folder:\n\n"
            "  python3 scripts/in_venv.py scripts/prefetch.py --check THIS_FOLDER",
            "Where the files come from, and under which licence:\n\n"
            + "\n\n".join(_origin(name, source) for name, source in sorted(sources.items())),
            *([_openai_licence()] if any(source.repository.startswith(_OPENAI) for source in sources.values()) else []),
        ]
    ) + "\n"  # fmt: skip


def _how_by_variable(command: str, name: str) -> str:
    return (
        "Copy this folder to your computer. Then, in the folder of the project, say where it is:\n\n"
        "  export GPT2_WEIGHTS=THIS_FOLDER              Linux, macOS\n"
        '  $env:GPT2_WEIGHTS = "THIS_FOLDER"            Windows, PowerShell\n\n'
        f"and use the models by their names, in scripts and in notebooks:\n\n  {command} --model {name}"
    )


def _origin(name: str, source: Source) -> str:
    if source.repository.startswith(_OPENAI):
        terms = "OpenAI's weights (https://github.com/openai/gpt-2), Modified MIT License, below"
    elif source.repository == "distilbert/distilgpt2":
        terms = "Hugging Face's weights, Apache License 2.0: https://www.apache.org/licenses/LICENSE-2.0"
    else:
        terms = "its licence is told on that page"
    return f"  {name}\n    https://huggingface.co/{source.repository}\n    commit {source.revision}\n    {terms}"


def _openai_licence() -> str:
    """OpenAI's notice, which has to go with every copy; the project's LICENSE holds it for the vocabulary."""
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    return text[text.index("Modified MIT License\n") :].partition("\n-----")[0].strip()
