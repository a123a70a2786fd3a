"""Greedy decoding as a fixed point: several ids guessed at once, and guessed again until they stay."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..core import Chance, Prefix, Processor, is_whole_number
from ..drafts.draft import Draft, Drafter, DraftSession, DraftTask, one_row
from .drafter_invariant import agreed
from .speculation import Speculation, Target, Verdict


class Jacobi(Speculation):
    """Jacobi decoding: greedy decoding as a system of equations, solved for several ids at once.

        y_i = argmax f(y_1 ... y_(i-1)),     all i of a window guessed anew from the last guesses until nothing changes

    Each call of the model takes the guesses as they are and returns, at every place, what it would write behind them.
    Guesses that agree are right, from the first on, and so is the first that does not, once corrected: at least one id
    a call, as in greedy decoding, and more where a guess happened to be right in spite of wrong ones before it.

    window   how many ids are guessed beyond the next. Behind the last guess it guesses that one again

    It gives the ids of `Greedy` with the same processors, but where the two best logits lie so close that the rounding
    of a call with several positions decides. It needs no draft, and rarely pays without training for it: a call with a
    whole window must cost little more than one with a single id. Raises ValueError for a window below 1.
    Santilli et al. 2023, "Accelerating Transformer Inference for Translation via Parallel Decoding", arXiv:2305.10427.
    """

    def __init__(self, *processors: Processor, window: int = 8) -> None:
        super().__init__(*processors)
        if not is_whole_number(window) or window < 1:
            raise ValueError(f"window is how many ids to guess at once, at least 1; got {window!r}")
        self.window = window

    def drafter(self) -> Drafter:
        return _Guesser()

    def most(self) -> int:
        return self.window

    def verify(self, target: Target) -> Verdict:
        def best(logits: Tensor, prefix: Prefix) -> Tensor:
            return logits.argmax(dim=-1)  # (1, V) -> (1,), the first of equals

        verdict = agreed(target, best)
        places = range(verdict.accepted + 1, len(target.draft.ids) + 1)
        guesses = [int(target.logits(place).argmax()) for place in places if target.fault(place) is None]
        return verdict._replace(guesses=guesses)


class _Guesser:
    """Guesses what the model guessed."""

    def __init__(self, rows: int = 0) -> None:
        self._guesses: list[Sequence[int]] = [()] * rows

    def start(self, task: DraftTask) -> DraftSession:
        return _Guesser(len(task.prompts))

    def learn(self, row: int, guesses: Sequence[int]) -> None:
        self._guesses[row] = guesses

    def select(self, rows: Sequence[int]) -> None:
        self._guesses = [self._guesses[row] for row in rows]

    def propose(self, prefixes: Sequence[Prefix], most: Sequence[int], chances: Sequence[Chance]) -> list[Draft]:
        drafts: list[Draft] = []
        for prefix, guesses, n in zip(prefixes, self._guesses, most, strict=True):
            last = guesses[-1] if guesses else one_row(prefix)[-1]
            drafts.append(Draft((*guesses[:n], *[last] * (n - len(guesses)))))
        return drafts
