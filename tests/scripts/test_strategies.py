"""Strategies and their settings as they are written on the command line."""

from __future__ import annotations

import argparse
import shlex

import pytest

import decoding
from decoding import (
    BeamSearch,
    BestOfN,
    BlockVerification,
    ConstrainedBeamSearch,
    ContrastiveSearch,
    DiverseBeamSearch,
    DrafterInvariant,
    Greedy,
    Hypothesis,
    Jacobi,
    MajorityVote,
    MinP,
    PresencePenalty,
    PromptLookup,
    Sample,
    SelfSpeculative,
    Speculative,
    StochasticBeamSearch,
    Suppress,
    Temperature,
    Tokenizer,
    TopK,
    TopP,
    TransformersBeamSearch,
)
from decoding.strategies.best_of_n import sum_model_logprob
from gpt2 import GPT2
from scripts import generate as program
from scripts.chain import build_processor
from scripts.command import UsageError
from scripts.options import second_model
from scripts.strategies import (
    BY_FLAG,
    DRAFTS,
    SETTINGS,
    STRATEGIES,
    VERIFY,
    Asked,
    Setting,
    add_settings,
    read_strategy,
)
from tests.registry import strategy_classes

# -- completeness -----------------------------------------------------------------------------------------------------


def test_every_strategy_has_a_name() -> None:
    classes = [getattr(decoding, option.cls) for option in STRATEGIES.values()]
    assert set(classes) == strategy_classes() and len(set(classes)) == len(classes)


def test_every_parameter_of_a_strategy_has_a_setting_and_every_setting_a_strategy() -> None:
    for option in STRATEGIES.values():
        parameters = set(getattr(decoding, option.cls)._defaults())
        assert set(option.settings.values()) == parameters - {"utility"}  # a function of two texts has no name here
    assert {flag for option in STRATEGIES.values() for flag in option.flags} == set(BY_FLAG)
    assert len(BY_FLAG) == len(SETTINGS) + len(DRAFTS)


@pytest.mark.parametrize("setting", [*SETTINGS, *DRAFTS], ids=lambda setting: setting.flag)
def test_the_example_of_every_setting_can_be_used(setting: Setting, storybook: GPT2, tokenizer: Tokenizer) -> None:
    for name, option in STRATEGIES.items():
        given = [setting.flag]
        if setting.flag in ("draft-length", "verify"):
            given += ["prompt-lookup"]
        elif option.needs and setting.flag not in option.needs:
            given += option.needs[:1]
        asked = Asked(name, settings=tuple((flag, BY_FLAG[flag].example) for flag in dict.fromkeys(given)))
        if setting.flag in option.flags:
            text = " ".join([name, *(f"--{flag} {shlex.quote(value)}" for flag, value in asked.settings)])
            assert read_strategy(text.replace(" ''", "")) == asked
            rule = setting.example if setting.flag == "verify" else "token"
            expected = STRATEGIES[VERIFY[rule]] if option.drafted else option
            assert type(asked.build(tokenizer, lambda name: storybook.early_exit(1))) is getattr(decoding, expected.cls)
        else:
            with pytest.raises(UsageError, match=f"^--{setting.flag} belongs to .*; the strategy here is {name}$"):
                asked.build(tokenizer)


def test_the_help_says_whose_each_setting_is(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser(prog="x")
    add_settings(parser)
    parser.print_help()
    shown = " ".join(capsys.readouterr().out.split())
    for setting in SETTINGS:
        whose = ", ".join(name for name, option in STRATEGIES.items() if setting.flag in option.settings)
        shown = shown.replace("- ", "-")  # argparse breaks lines at hyphens
        assert f"--{setting.flag} {setting.metavar}" in shown and f"({whose})" in shown
    for setting in DRAFTS:
        assert f"{setting.usage} {setting.help}".replace("- ", "-") in shown


def test_greedy_decoding_and_sampling_with_a_draft_are_what_verifies_it(tokenizer: Tokenizer) -> None:
    for way in ("--prompt-lookup", "--early-exit 2"):
        for rule, name in VERIFY.items():
            verified = read_strategy(f"{name} --top-p 0.9 {way}").build(tokenizer)
            assert verified == read_strategy(f"sample --top-p 0.9 {way} --verify {rule}").build(tokenizer)
            greedy = read_strategy(f"{name} --top-p 0.9 {way} --temperature 0").build(tokenizer)
            assert greedy == read_strategy(f"greedy --verify {rule} {way} --top-p 0.9").build(tokenizer) != verified


def test_a_draft_is_loaded_by_name_and_prints_as_its_name(storybook: GPT2, tokenizer: Tokenizer) -> None:
    strategy = read_strategy("sample --draft storybook --draft-length 2").build(tokenizer)
    assert isinstance(strategy, Speculative) and isinstance(strategy.draft, GPT2)
    assert repr(strategy) == "Speculative(draft=storybook, length=2)"
    loaded: list[str] = []

    def load(name: str) -> GPT2:
        loaded.append(name)
        return storybook.early_exit(2)

    other = read_strategy("drafter-invariant --draft one/draft").build(tokenizer, load)
    assert loaded == ["one/draft"] and repr(other) == "DrafterInvariant(draft=one/draft)"
    assert "__name__" not in vars(storybook)
    read_strategy("sample").build(tokenizer, load)
    assert len(loaded) == 1


def test_drafts_of_one_name_are_one_model(tokenizer: Tokenizer) -> None:
    """Two strategies that compare.py holds against each other do not need two copies."""
    load = second_model(argparse.Namespace(dtype="float32", device="cpu", compile=False))
    drafts: list[object] = []
    for rule in ("token", "block"):
        strategy = read_strategy(f"sample --draft storybook --verify {rule}").build(tokenizer, load)
        assert isinstance(strategy, (Speculative, BlockVerification))
        drafts.append(strategy.draft)
    assert drafts[0] is drafts[1]


def test_the_answer_of_a_text_is_the_last_match(tokenizer: Tokenizer) -> None:
    def votes(written: str, text: str) -> object:
        strategy = read_strategy(f"majority-vote --answer {shlex.quote(written)}").build(tokenizer)
        assert isinstance(strategy, MajorityVote) and written in repr(strategy)
        ids = (*tokenizer.encode(text), tokenizer.eos_id)
        return strategy.answer(Hypothesis(ids, (), (), "eos", 0.0))

    assert votes("[0-9]+", "first 1, then 12") == "12"
    assert votes("is ([0-9]+)", "it is 3, or 4") == "3"
    assert votes("[0-9]+", "none") is None


# -- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--strategy", "psychic"], 2, "invalid choice: 'psychic'"),
        (
            ["--strategy", "beam", "--beams", "x"],
            2,
            "--beams: 'x' is not a whole number; it is written --beams N",
        ),
        (["--strategy", "beam", "--beams", "0"], 1, "beams is a number of hypotheses, at least 1; got 0"),
        (["--strategy", "beam", "--beams", "2", "--beams", "3"], 2, "--beams is given twice"),
        (["--strategy", "beam", "--stopping", "never"], 2, "'never' is none of optimal, first, exhaust"),
        (["--beams", "2"], 2, "--beams belongs to beam"),
        (["--strategy", "constrained-beam"], 2, "constrained-beam needs --contain WORD,..., such as --contain cat,dog"),
        (["--strategy", "constrained-beam", "--contain", "a,"], 2, "--contain: a word is missing; it is written"),
        (["--strategy", "majority-vote", "--answer", "("], 2, "--answer: '(' is no regular expression: missing )"),
        (["--strategy", "best-of-n", "--reward", "beauty"], 2, "--reward: 'beauty' is none of mean, sum"),
        (["--strategy", "stochastic-beam", "--texts", "0"], 1, "--texts is a number of texts, at least 1; got 0"),
        (["--strategy", "beam", "--xtc", "0.1,0.5"], 1, "BeamSearch compares texts by their probability"),
        (["--prompt-lookup", "--beams", "3"], 2, "--beams belongs to beam or"),
        (["--strategy", "beam", "--prompt-lookup"], 2, "--prompt-lookup belongs to greedy or sample or speculative"),
        (["--strategy", "speculative", "--prompt-lookup", "--verify", "block"], 2, "--verify belongs to greedy or sam"),
        (["--prompt-lookup", "--early-exit", "2"], 2, "--prompt-lookup and --early-exit exclude each other; take one"),
        (["--prompt-lookup", "--prompt-lookup"], 2, "--prompt-lookup is given twice"),
        (
            ["--draft-length", "2"],
            2,
            "--draft-length is for drafts: give --draft NAME, --prompt-lookup or --early-exit",
        ),
        (["--strategy", "sample", "--verify", "block"], 2, "--verify is for drafts: give --draft NAME, "),
        (
            ["--prompt-lookup", "--verify", "maybe"],
            2,
            "--verify: 'maybe' is none of token, block, shared-noise; it is ",
        ),
        (["--prompt-lookup", "--verify", "block", "--verify", "token"], 2, "--verify is given twice"),
        (["--strategy", "speculative"], 2, "speculative needs --draft NAME, --prompt-lookup or --early-exit LAYERS\n"),
        (
            ["--early-exit", "x"],
            2,
            "--early-exit: 'x' is not a whole number; it is written --early-exit LAYERS, such as",
        ),
        (["--early-exit", "0"], 1, "--early-exit is with how many of the first layers to draft, at least 1; got 0"),
        (["--early-exit", "9"], 1, "an early exit lies behind 1 to 6 of this model's layers; got 9"),
        (["--prompt-lookup", "--draft-length", "0"], 1, "--draft-length is how many ids to draft in a round, at least"),
        (["--draft", "nobody"], 1, "there is no model 'nobody'"),
        (["--strategy", "jacobi", "--window", "0"], 1, "window is how many ids to guess at once, at least 1; got 0"),
        (["--strategy", "contrastive-search", "--candidates", "0"], 1, "--candidates is of how many of the likeliest"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        assert program.main(["hi", "--model", "storybook", *arguments]) == code
    except SystemExit as exit:
        assert exit.code == code
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1 and said in output.err and "Traceback" not in output.err


# -- a strategy in one text -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "strategy"),
    [
        ("greedy", Greedy()),
        (" sample ", Sample()),
        ("sample --top-p 0.9 --temperature 1.5", Sample(TopP(0.9), Temperature(1.5))),
        ("sample --temperature=1.5 --top-p 0.9", Sample(Temperature(1.5), TopP(0.9))),
        ("greedy --presence-penalty -0.5 --min-p 0.1", Greedy(PresencePenalty(-0.5), MinP(0.1))),
        ("""sample --suppress '262," a"'""", Sample(Suppress([262, 257]))),
        ("beam", BeamSearch()),
        ("beam --beams 3 --top-k 5 --length-penalty -0.5", BeamSearch(TopK(5), beams=3, length_penalty=-0.5)),
        ("beam --stopping=first", BeamSearch(stopping="first")),
        ("diverse-beam --beams 6 --groups 3 --diversity-penalty 1", DiverseBeamSearch(beams=6, groups=3, penalty=1.0)),
        ("transformers-beam --texts 2 --early-stopping yes", TransformersBeamSearch(candidates=2, early_stopping=True)),
        ("stochastic-beam --texts 3 --top-k 9", StochasticBeamSearch(TopK(9), k=3)),
        ("best-of-n --reward sum --texts 3", BestOfN(n=3, reward=sum_model_logprob)),
        ("constrained-beam --contain cat", ConstrainedBeamSearch.of_words(["cat"], Tokenizer())),
        ("greedy --prompt-lookup", Speculative(Temperature(0), draft=PromptLookup())),
        ("greedy --top-k 5 --prompt-lookup", Speculative(TopK(5), Temperature(0), draft=PromptLookup())),
        ("sample --top-k 5 --early-exit 2 --draft-length 3", Speculative(TopK(5), draft=SelfSpeculative(2), length=3)),
        ("sample --verify block --prompt-lookup", BlockVerification(draft=PromptLookup())),
        ("sample --verify=shared-noise --early-exit=1", DrafterInvariant(draft=SelfSpeculative(1))),
        ("block-verification --prompt-lookup --draft-length 9", BlockVerification(draft=PromptLookup(), length=9)),
        ("jacobi --window 3 --min-p 0.1", Jacobi(MinP(0.1), window=3)),
        ("contrastive-search --candidates 5 --alpha 0.4", ContrastiveSearch(k=5, alpha=0.4)),
        (r"sample --suppress '\n'", Sample(Suppress([198]))),
        (r"sample --suppress \n", Sample(Suppress([198]))),  # as generate.py reads it behind one quotation
        (r"sample --dry 0.8,breakers=\n:", Sample(build_processor("dry", r"0.8,breakers=\n:", Tokenizer()))),
    ],
)
def test_a_strategy_in_one_text(text: str, strategy: object, tokenizer: Tokenizer) -> None:
    assert read_strategy(text).build(tokenizer) == strategy


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it begins with a strategy: greedy, sample, "),
        ("psychic --top-p 0.9", "it begins with a strategy: greedy, sample, "),
        ("--top-p 0.9", "it begins with a strategy: greedy, sample, "),
        ("--help", "it begins with a strategy: greedy, sample, "),
        ("sample --help", "unrecognized arguments: --help"),
        ("sample --top-q 0.9", "unrecognized arguments: --top-q 0.9"),
        ("sample --top 0.9", "unrecognized arguments: --top 0.9"),  # no abbreviations
        ("sample greedy", "unrecognized arguments: greedy"),
        ("sample --top-k 5 # 3", "unrecognized arguments: # 3"),  # nothing is a comment
        ("sample --seed 3", "unrecognized arguments: --seed 3"),
        ("sample --top-p", "argument --top-p: expected one argument"),
        ("sample --top-p '0.9", "No closing quotation"),
    ],
)
def test_a_text_that_is_no_strategy(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words}"):
        read_strategy(text)
