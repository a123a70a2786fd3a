#!/usr/bin/env python3
"""Fill a folder with official weights, to hand round where there is no network.

    prefetch.py gpt2 distilgpt2 --to weights        (needs the Hub, or its cache)
    prefetch.py owner/name --revision v1 --to weights
    prefetch.py --check weights                     (asks nobody)

The folder then holds weights/gpt2/config.json and weights/gpt2/model.safetensors, a list of their sha256 sums, and a
README.txt that tells a student what to do. Files come through the Hub's cache; on one disk both share the space,
because the weights in the folder are the same file under a second name (a hard link), else they are copied. Each file
is checked before it gets its name. The same command again checks what is there, fetches what is missing, and replaces
what is damaged.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a clone, from any folder

from scripts.command import Parser, note, run_command
from scripts.weights.published import WEIGHTS, in_units, model_of, quoted, size_of

if TYPE_CHECKING:
    from scripts.weights.folder import Source

NAME = "prefetch.py"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(NAME, __doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="gpt2, gpt2-medium, gpt2-large, gpt2-xl, distilgpt2, or owner/name on the Hugging Face Hub",
    )
    parser.add_argument("--to", metavar="FOLDER", help="the folder to fill; it is made where it is missing")
    parser.add_argument("--revision", help="a branch, tag or commit, for a model given as owner/name")
    parser.add_argument("--check", metavar="FOLDER", help="check a folder that was filled, and fetch nothing")
    options = parser.parse_args(arguments)
    for option, wanted in {"to": "a folder", "check": "a folder", "revision": "a branch, tag or commit"}.items():
        if getattr(options, option) == "":  # which would mean the folder that one is in, or any commit
            parser.error(f"--{option} is empty: name {wanted}")
    if options.check is not None and (options.names or options.to is not None or options.revision is not None):
        parser.error("--check FOLDER stands alone")
    if options.check is None and (not options.names or options.to is None):
        parser.error("name the models and the folder: prefetch.py gpt2 --to FOLDER")
    options.names = list(dict.fromkeys(options.names))
    return options


# -- filling ----------------------------------------------------------------------------------------------------------


def fill(options: argparse.Namespace) -> None:
    from scripts.weights.fetching import check_room, fetch_published, fetch_unpublished, files_there, named
    from scripts.weights.folder import Source, read_sources, read_sums, write_lists

    models = [named(name, options.revision) for name in options.names]
    folder = home_of(Path(options.to))
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; --to takes a folder")
    sums, sources = read_sums(folder), read_sources(folder)
    forget_what_is_gone(folder, sums, sources)
    right = {model.name: files_there(folder, model, sums, sources, options.revision) for model in models}
    check_room(folder, [model for model in models if f"{model.name}/{WEIGHTS}" not in right[model.name]])
    for model in models:
        there = right[model.name]
        for file in there:
            print(f"{file}: there, and right", flush=True)
        if model.published is not None:
            commit, fetched = model.revision, fetch_published(folder, model, there)
        elif there:
            commit, fetched = sources[model.name].revision, {}
        else:
            commit, fetched = fetch_unpublished(folder, model)
        sources[model.name] = Source(model.repository, commit)
        sums = {file: sha256 for file, sha256 in sums.items() if model_of(file) != model.name} | there | fetched
        write_lists(folder, sums, sources)  # after each model, so that an interruption leaves whole ones in the lists
    n_bytes = sum(size_of(folder / file) or 0 for file in sums)
    print(f"{folder} holds {', '.join(sorted(sources))}: {in_units(n_bytes)}. README.txt tells how it is used.")


def forget_what_is_gone(folder: Path, sums: dict[str, str], sources: dict[str, Source]) -> None:
    """Models that somebody removed from the folder leave its lists, too."""
    for name in {model_of(file) for file in sums} | set(sources):
        if not (folder / name).is_dir():
            sources.pop(name, None)
            for file in [file for file in sums if model_of(file) == name]:
                del sums[file]


# -- checking ---------------------------------------------------------------------------------------------------------


def check_folder(folder: Path) -> int:
    from scripts.weights.folder import SUMS, check

    folder = home_of(folder)
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder} to check")
    if not (folder / SUMS).is_file():
        raise ValueError(f"{folder} has no {SUMS}: fill it with prefetch.py NAME --to {quoted(folder)}")
    wrong: list[str] = []
    n_files = 0
    for judgement in check(folder):
        n_files += 1
        print(f"{'ok   ' if judgement.right else 'WRONG'}  {judgement.file}: {judgement.text}", flush=True)
        if not judgement.right:
            wrong.append(model_of(judgement.file))
    if not n_files:
        raise ValueError(f"{folder / SUMS} is empty: fill the folder with prefetch.py NAME --to {quoted(folder)}")
    if wrong:
        names = " ".join(map(quoted, dict.fromkeys(filter(None, wrong)))) or "NAME"
        note(NAME, f"{folder} is not whole; with the Hub, this mends it: prefetch.py {names} --to {quoted(folder)}")
        return 1
    print(f"{folder} is whole: {n_files} files.")
    return 0


def home_of(folder: Path) -> Path:
    """The folder with ~ spelled out. Path's own `expanduser` has no sentence for the home of nobody."""
    try:
        return folder.expanduser()
    except RuntimeError as error:
        raise ValueError(f"there is no folder {folder}: {error}") from error


# -- main -------------------------------------------------------------------------------------------------------------


def run(options: argparse.Namespace) -> int:
    if options.check is not None:
        return check_folder(Path(options.check))
    from gpt2 import HubUnreachableError

    try:
        fill(options)
    except KeyboardInterrupt:
        note(NAME, "stopped; the same command goes on from there")
        raise
    except HubUnreachableError as error:
        raise OSError(
            f"the Hugging Face Hub cannot be reached ({error.reason}); scripts/doctor.py looks into it"
        ) from error
    return 0


def main(arguments: Sequence[str]) -> int:
    """Run, and turn whatever a user can cause into one line and an exit code."""
    options = parse(arguments)
    return run_command(NAME, lambda: run(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
