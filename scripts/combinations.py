"""The models made of others on the command line, which generate.py and compare.py share.

Each has a flag that asks for it, and settings that belong to it. They exclude each other.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scripts import chain
from scripts.chain import Written, read_float, read_int
from scripts.command import UsageError
from scripts.strategies import Setting, add_setting, named, read_name, read_settings

if TYPE_CHECKING:
    from decoding import LanguageModel, Tokenizer
    from scripts.strategies import Load


@dataclass(frozen=True)
class CombinationOption:
    """One model made of others.

    flag       asks for it: "dola" for --dola
    cls        the class in `decoding`
    settings   the flags that it takes -> its parameters that they are for
    """

    flag: str
    cls: str
    settings: dict[str, str]


COMBINATIONS = [
    CombinationOption(
        "amateur",
        "ContrastiveDecoding",
        {"amateur": "amateur", "plausibility": "alpha", "amateur-temperature": "temperature"},
    ),
    CombinationOption(
        "guidance-scale",
        "ClassifierFreeGuidance",
        {"guidance-scale": "scale", "negative-prompt": "negative_prompt"},
    ),
    CombinationOption("dola", "DoLa", {"dola": "layers", "plausibility": "alpha"}),
]


def _layers(text: str, tokenizer: Tokenizer) -> list[int]:
    return [read_int(item, tokenizer) for item in text.split(",")]


def _prompt(text: str, tokenizer: Tokenizer) -> list[int]:
    ids = tokenizer.encode(text)
    if not ids:
        raise UsageError("--negative-prompt is empty; leave it out for none at all")
    return ids


HELP = """\
Every strategy works with them that works with any model. At most one of
--amateur, --guidance-scale and --dola."""
SETTINGS = [
    Setting(
        "amateur",
        "NAME",
        "storybook",
        "contrastive decoding: prefer what --model finds likelier than this one does, a model with the same ids",
        read_name,
    ),
    Setting("amateur-temperature", "T", "0.5", "divide the amateur's logits by T; default: 1 (--amateur)", read_float),
    Setting(
        "guidance-scale",
        "X",
        "1.5",
        "classifier-free guidance: how much the prompt counts; 1 is the model itself, more is away from the negative "
        "prompt",
        read_float,
    ),
    Setting(
        "negative-prompt",
        "TEXT",
        "Once upon a time",
        "what to lead away from; default: as good as no prompt (--guidance-scale)",
        _prompt,
    ),
    Setting(
        "dola",
        "LAYERS",
        "2,4",
        "contrast layers: prefer what the last layer finds likelier than that of LAYERS (0: the embeddings) which "
        "differs most from it",
        _layers,
    ),
    Setting(
        "plausibility",
        "A",
        "0.1",
        "keep only ids with at least A times the best one's probability; default: 0.1 (--amateur, --dola)",
        read_float,
    ),
]

BY_FLAG = {setting.flag: setting for setting in SETTINGS}
_BY_ASKING = {option.flag: option for option in COMBINATIONS}


def add_combinations(parser: argparse.ArgumentParser) -> None:
    """Their options, collected in `combination` as a list of `Written`."""
    group = parser.add_argument_group("models made of others", HELP)
    parser.set_defaults(combination=[])
    for setting in SETTINGS:
        add_setting(group, setting, "combination", setting.help)


def with_negative_values(arguments: Sequence[str]) -> list[str]:
    """The arguments, with `--guidance-scale -1` as one of them: argparse takes a dash for an option."""
    return chain.with_negative_values(arguments, set(BY_FLAG))


@dataclass(frozen=True)
class Combination:
    """A model made of others as it was asked for.

    arguments   by the names of the class; an amateur is still a name
    """

    option: CombinationOption
    arguments: dict[str, Any]

    def build(self, model: LanguageModel, load: Load | None = None) -> LanguageModel:
        """It, made of this model. Raises ValueError, naming the option, for what cannot be."""
        import decoding

        arguments = dict(self.arguments)
        if "amateur" in arguments:
            arguments["amateur"] = named(arguments["amateur"], load)
        cls: Callable[..., LanguageModel] = getattr(decoding, self.option.cls)
        try:
            return cls(model, **arguments)
        except ValueError as error:  # what the class calls a parameter has the name of its option here
            for flag, parameter in self.option.settings.items():
                if str(error).startswith(f"{parameter} "):
                    raise ValueError(f"--{flag}: {error}") from error
            raise

    def title(self, model: LanguageModel) -> str:
        """What the built one is called."""
        amateur = self.arguments.get("amateur")
        return repr(model) if amateur is None else f"{model!r} with amateur {amateur}"


def read_combination(written: Sequence[Written], tokenizer: Tokenizer) -> Combination | None:
    """What the options say; None where none of them is given. Raises UsageError for what does not go together."""
    given = list(dict.fromkeys(flag for flag, _ in written))
    asking = [flag for flag in given if flag in _BY_ASKING]
    if len(asking) > 1:
        raise UsageError(f"--{asking[0]} and --{asking[1]} make different models; take one")
    for flag in given:
        owners = [option.flag for option in COMBINATIONS if flag in option.settings]
        if not asking or asking[0] not in owners:
            raise UsageError(f"--{flag} belongs to {' or '.join(f'--{owner}' for owner in owners)}")
    if not asking:
        return None
    option = _BY_ASKING[asking[0]]
    return Combination(option, read_settings(written, option.settings, BY_FLAG, tokenizer))
