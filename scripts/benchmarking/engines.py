"""Who takes part: ours in each mode, and the peers, each with the numbers that it keeps weights as."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.command import UsageError

OURS = ("eager", "compiled")
PRECISIONS = {"float32": "float32", "16 bits": "16 bits a weight", "8 bits": "8 bits a weight"}  # and how tables say it
_PRECISION_OF = {
    **dict.fromkeys(("float32", "f32"), "float32"),
    **dict.fromkeys(("bfloat16", "float16", "f16"), "16 bits"),
    **dict.fromkeys(("int8", "q8_0"), "8 bits"),
}
_PACKAGES = {  # what a peer's rows need: module, and what it is called where packages are installed
    "transformers": {"transformers": "transformers"},
    "ctranslate2": {"ctranslate2": "ctranslate2"},
    "llama.cpp": {"llama_cpp": "llama-cpp-python", "gguf": "gguf"},
}


@dataclass(frozen=True)
class Engine:
    """One row of the tables: a program, and its kind of weights in its own words."""

    kind: str
    weights: str

    @property
    def name(self) -> str:
        return f"{self.kind} {self.weights}"

    @property
    def precision(self) -> str:
        return _PRECISION_OF[self.weights]

    @property
    def is_ours(self) -> bool:
        return self.kind in OURS


ENGINES = [
    *(Engine(kind, weights) for kind in OURS for weights in ("float32", "bfloat16", "float16", "int8")),
    *(Engine("transformers", weights) for weights in ("float32", "bfloat16")),
    *(Engine("ctranslate2", weights) for weights in ("float32", "bfloat16", "float16", "int8")),
    *(Engine("llama.cpp", weights) for weights in ("f32", "f16", "q8_0")),
]


def chosen(only: Sequence[str] | None, peers: bool) -> list[Engine]:
    """Those that `--only` names, by kind or in full with a hyphen, in the order of the tables.

    Raises UsageError for a name that nobody has, and for a peer where peers are not asked for.
    """
    known = {name for engine in ENGINES for name in (engine.kind, _in_full(engine))}
    for name in only or []:
        if name not in known:
            kinds = ", ".join(dict.fromkeys(engine.kind for engine in ENGINES))
            raise UsageError(
                f"--only {name!r} is no engine; there are {kinds}, and each with its weights, such as "
                f"{', '.join(_in_full(ENGINES[n]) for n in (0, len(ENGINES) - 1))}"
            )
    wanted = [engine for engine in ENGINES if only is None or engine.kind in only or _in_full(engine) in only]
    strangers = [engine for engine in wanted if not engine.is_ours]
    if only is not None and strangers and not peers:
        raise UsageError(f"{strangers[0].kind} is a peer: add --peers")
    return [engine for engine in wanted if engine.is_ours or peers]


def missing_packages(engines: Sequence[Engine]) -> list[str]:
    """What has to be installed before these can take part."""
    packages = {module: name for engine in engines for module, name in _PACKAGES.get(engine.kind, {}).items()}
    return [name for module, name in packages.items() if importlib.util.find_spec(module) is None]


def _in_full(engine: Engine) -> str:
    return f"{engine.kind}-{engine.weights}"
