"""Session: the cache is held to the naive definition, which runs the network on every row alone, from its beginning."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from gpt2 import GPT2, GPT2Config, Session
from gpt2.session import LayerCache
from tests.gpt2.small import SHAPE, ids, small_model

V, P = SHAPE["n_vocab"], SHAPE["n_positions"]

# Logits are of order 10. Cached and uncached products add the same numbers in another order, which moves them by some
# 1e-5 in float32 and 1e-14 in float64; a real mistake moves them by more than 1.
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}


class Naive:
    """What a session is: a list of ids for each row. Nothing is remembered but these."""

    def __init__(self, model: GPT2) -> None:
        self.model = model
        self.rows: list[list[int]] = []

    def extend(self, new: Sequence[Sequence[int]], keep: int) -> Tensor:
        """-> (R, keep, V), NaN where a row has fewer than `keep` new ids."""
        self.rows = [old + list(ids) for old, ids in zip(self.rows or [[]] * len(new), new, strict=True)]
        logits = torch.full((len(new), keep, self.model.n_vocab), torch.nan, dtype=self.model.wte.weight.dtype)
        with torch.no_grad():
            for r, (row, added) in enumerate(zip(self.rows, new, strict=True)):
                kept = min(keep, len(added))
                if kept:
                    logits[r, keep - kept :] = self.model(torch.tensor([row]))[0, -kept:]
        return logits

    def select(self, rows: Sequence[int]) -> None:
        self.rows = [list(self.rows[r]) for r in rows]

    def rewind(self, lengths: Sequence[int]) -> None:
        self.rows = [row[:length] for row, length in zip(self.rows, lengths, strict=True)]


def extend_both(session: Session, naive: Naive, n: Sequence[int], S: int, keep: int, dice: random.Random) -> None:
    """The same new ids for both, rows filled with any ids behind n; same logits, and NaN at the same places."""
    block = [[dice.randrange(naive.model.n_vocab) for _ in range(S)] for _ in n]
    got = session.extend(torch.tensor(block), torch.tensor(n), keep)
    expected = naive.extend([row[:count] for row, count in zip(block, n, strict=True)], keep)
    torch.testing.assert_close(got, expected, rtol=0, atol=TOLERANCE[got.dtype], equal_nan=True)
    assert session.lengths.tolist() == [len(row) for row in naive.rows]


def walk(model: GPT2, seed: int, operations: int, opened: Session | None = None) -> dict[str, int]:
    """A random walk of extend, select and rewind beside the naive definition. -> how often each was done"""
    dice = random.Random(seed)
    session, naive = opened or model.open(), Naive(model)
    done = dict.fromkeys(("extend", "one id", "empty row", "repeat", "drop", "reorder", "rewind", "restart", "full"), 0)
    R = dice.randint(1, 4)
    extend_both(session, naive, [dice.randint(0, 6) for _ in range(R)], 6, dice.randint(1, 6), dice)
    for _ in range(operations):
        R = len(naive.rows)
        lengths = [len(row) for row in naive.rows]
        kind = dice.choice(["extend", "extend", "extend", "one id", "select", "rewind"])
        if kind == "one id" and max(lengths) < P:
            extend_both(session, naive, [1] * R, 1, 1, dice)
        elif kind == "extend":
            S = dice.randint(1, 8)
            n = [dice.randint(0, min(S, P - length)) for length in lengths]
            extend_both(session, naive, n, S, dice.randint(1, S), dice)
            done["empty row"] += 0 in n
            done["full"] += P in (len(row) for row in naive.rows)
        elif kind == "select":
            kind = dice.choice(["repeat", "drop", "reorder"])
            rows = list(range(R))
            if kind == "repeat":
                rows = [dice.randrange(R) for _ in range(dice.randint(1, 5))]
            elif kind == "drop":
                rows = sorted(dice.sample(rows, dice.randint(1, R)))
            else:
                dice.shuffle(rows)
            session.select(torch.tensor(rows))
            naive.select(rows)
        else:
            kind = dice.choice(["rewind", "rewind", "restart"])
            kept = [0 if kind == "restart" else dice.randint(length // 2, length) for length in lengths]
            session.rewind(torch.tensor(kept))
            naive.rewind(kept)
        done[kind] = done[kind] + 1
        assert session.lengths.tolist() == [len(row) for row in naive.rows]
    return done


# --- cached = uncached ---


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_walk_of_200_operations_equals_the_definition(dtype: torch.dtype) -> None:  # law 7
    done = walk(small_model(dtype=dtype), seed=1, operations=200)
    assert all(times >= 2 for times in done.values()), done  # the walk met every kind


@pytest.mark.parametrize("seed", range(10))
def test_any_split_of_a_row_is_the_whole_row(seed: int) -> None:  # law 7
    """Ragged rows, cut at random places into calls with random n; every call keeps everything. Against one forward."""
    dice = random.Random(seed)
    model = small_model(seed, torch.float64, n_layer=dice.choice([1, 2, 3]), n_head=dice.choice([1, 4]))
    R = dice.randint(1, 5)
    wanted = [dice.randint(1, P) for _ in range(R)]
    rows = ids(R, P, seed=seed)
    collected: list[list[Tensor]] = [[] for _ in range(R)]
    session = model.open()
    done = [0] * R
    while done != wanted:
        S = dice.randint(1, 9)
        n = [dice.randint(0, min(S, w - d)) for w, d in zip(wanted, done, strict=True)]
        block = torch.randint(V, (R, S))
        for r in range(R):
            block[r, : n[r]] = rows[r, done[r] : done[r] + n[r]]
        logits = session.extend(block, torch.tensor(n), keep=S)
        for r in range(R):
            collected[r].append(logits[r, S - n[r] :])
            assert logits[r, : S - n[r]].isnan().all()
        done = [d + count for d, count in zip(done, n, strict=True)]
    whole = model(rows)
    for r in range(R):
        torch.testing.assert_close(torch.cat(collected[r]), whole[r, : wanted[r]], rtol=0, atol=1e-10)


def test_one_prompt_id_by_id() -> None:  # law 7
    """The commonest use, past the size by which the cache first grows."""
    model = small_model(dtype=torch.float64, n_positions=200)
    row = ids(2, 200)
    whole = model(row)
    session = model.open()
    assert torch.equal(session.extend(row[:, :5])[:, 0].isnan(), torch.zeros(2, V, dtype=torch.bool))
    for t in range(5, 200):
        torch.testing.assert_close(session.extend(row[:, t : t + 1])[:, 0], whole[:, t], rtol=0, atol=1e-10)


def test_every_small_step_of_even_rows() -> None:  # law 7
    """Rows of one length take a shorter way through the code: every start with every number of new ids."""
    model = small_model(dtype=torch.float64)
    rows = ids(2, 8)
    whole = model(rows)
    for start in range(8):
        for S in range(1, 9 - start):
            session = model.open()
            if start:
                session.extend(rows[:, :start])
            logits = session.extend(rows[:, start : start + S], keep=S)
            torch.testing.assert_close(logits, whole[:, start : start + S], rtol=0, atol=1e-10)


def test_keep_gives_the_last_positions_in_order() -> None:
    model = small_model()
    row = ids(1, 10)
    whole = model(row)
    for keep in (1, 2, 10):
        logits = model.open().extend(row, keep=keep)
        assert logits.shape == (1, keep, V)
        torch.testing.assert_close(logits, whole[:, 10 - keep :], rtol=0, atol=1e-4)
    assert torch.equal(model.open().extend(row), model.open().extend(row, torch.tensor([10]), 1))  # the defaults


def test_keep_beyond_n_is_nan() -> None:
    """[r, -1] is the last new id's, whatever n is; a row without new ids is NaN throughout, and only that row."""
    session = small_model().open()
    logits = session.extend(ids(4, 5), torch.tensor([5, 3, 1, 0]), keep=3)
    assert logits.isnan().all(dim=-1).tolist() == [
        [False, False, False],
        [False, False, False],
        [True, True, False],
        [True, True, True],
    ]
    assert logits.isnan().any(dim=-1).equal(logits.isnan().all(dim=-1))


def test_a_call_that_adds_nothing_changes_nothing() -> None:
    model = small_model()
    with_pause, without = model.open(), model.open()
    for session in (with_pause, without):
        session.extend(ids(2, 5))
    assert with_pause.extend(ids(2, 3, seed=1), torch.tensor([0, 0])).isnan().all()
    assert with_pause.lengths.tolist() == [5, 5]
    new = ids(2, 2, seed=2)
    # not bit for bit: after the pause the rows go through the same products in another shape
    torch.testing.assert_close(with_pause.extend(new), without.extend(new), rtol=0, atol=1e-4)


def test_ids_behind_n_do_not_count() -> None:
    """Whatever stands there: the logits are the same bit for bit, now and later."""
    model = small_model()
    one, other = ids(3, 6, seed=1), ids(3, 6, seed=2)
    n = torch.tensor([2, 6, 4])
    for r in range(3):
        other[r, : n[r]] = one[r, : n[r]]
    sessions = model.open(), model.open()
    now = [session.extend(block, n, keep=2) for session, block in zip(sessions, (one, other), strict=True)]
    assert torch.equal(*now)
    new = ids(3, 4, seed=3)
    assert torch.equal(*(session.extend(new) for session in sessions))


@pytest.mark.parametrize("filler", [-1, V, 10**9])
def test_ids_behind_n_need_not_be_ids(filler: int) -> None:
    """`extend` promises that only the first n[r] count, whatever stands behind them."""
    model = small_model()
    block = ids(2, 4)
    expected = model.open().extend(block, torch.tensor([4, 2]))
    block[1, 2:] = filler
    assert torch.equal(model.open().extend(block, torch.tensor([4, 2])), expected)


def test_the_bundled_model_too(storybook: GPT2) -> None:  # law 7
    """Ragged prompts, then id by id, with beams that change parents: to 1e-3, as its logits are of order 10 to 30."""
    dice = random.Random(3)
    rows = [[dice.randrange(50257) for _ in range(length)] for length in (40, 3, 17)]
    session = storybook.open()
    block = torch.zeros(3, 40, dtype=torch.int64)
    for r, row in enumerate(rows):
        block[r, : len(row)] = torch.tensor(row)
    logits = session.extend(block, torch.tensor([40, 3, 17]))[:, -1]
    for parents in ([0, 1, 2], [2, 2, 0, 1], [3, 0]):
        with torch.no_grad():
            for r, row in enumerate(rows):
                torch.testing.assert_close(logits[r], storybook(torch.tensor([row]))[0, -1], rtol=0, atol=1e-3)
        session.select(torch.tensor(parents))
        rows = [rows[r] + [dice.randrange(50257)] for r in parents]
        logits = session.extend(torch.tensor([[row[-1]] for row in rows]))[:, -1]


# --- mutants: the well-known wrong caches, each caught by the walk ---


class NotReordered(Session):
    """Beams change parents, the keys and values do not."""

    def select(self, rows: Tensor) -> None:
        cache = self._cache
        super().select(rows)
        assert cache is not None
        if len(rows) <= cache.shape[2]:
            self._cache = cache[:, :, : len(rows)]


class NotRewound(Session):
    """Rejected drafts stay."""

    def rewind(self, lengths: Tensor) -> None:
        reported = lengths.clone()
        kept = self.lengths
        super().rewind(lengths)
        self.lengths = kept if not torch.equal(kept, reported) else reported


class RewoundByTheShortest(Session):
    """All rows go back by the same count: right for one row only."""

    def rewind(self, lengths: Tensor) -> None:
        super().rewind(self.lengths - (self.lengths - lengths).min())


def positions_off_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every new id sits one position too late once there is a cache."""
    true = GPT2.residual_stream

    def wrong(self: GPT2, ids: Tensor, positions: Tensor, visible: Tensor | None = None, caches=None):  # type: ignore[no-untyped-def]
        late = (positions + (positions > 0)).clamp(max=P - 1) if caches is not None else positions
        return true(self, ids, late, visible, caches)

    monkeypatch.setattr(GPT2, "residual_stream", wrong)


def padding_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention looks at every slot that is not in the future of the longest row."""
    true = GPT2.residual_stream

    def wrong(self: GPT2, ids: Tensor, positions: Tensor, visible: Tensor | None = None, caches=None):  # type: ignore[no-untyped-def]
        if visible is not None and visible.dim() == 4:
            visible = visible.any(dim=0, keepdim=True)
        return true(self, ids, positions, visible, caches)

    monkeypatch.setattr(GPT2, "residual_stream", wrong)


def written_to_the_same_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows write where the first does."""
    true = LayerCache.append

    def wrong(self: LayerCache, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if isinstance(self.where, Tensor):
            self.where = self.where[:1].expand(len(k), -1)
        return true(self, k, v)

    monkeypatch.setattr(LayerCache, "append", wrong)


@pytest.mark.parametrize("session", [NotReordered, NotRewound, RewoundByTheShortest])
def test_a_wrong_session_does_not_survive_the_walk(session: type[Session]) -> None:  # law 7
    model = small_model()
    with pytest.raises(AssertionError):
        walk(model, seed=1, operations=200, opened=session(model))


@pytest.mark.parametrize("mutate", [positions_off_by_one, padding_is_seen, written_to_the_same_slots])
def test_a_wrong_cache_does_not_survive_the_walk(mutate, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    mutate(monkeypatch)
    with pytest.raises(AssertionError, match="not close"):
        walk(small_model(), seed=1, operations=200)


# --- the edge ---


def test_the_last_position_can_be_used_and_no_more() -> None:  # law 9
    model = small_model()
    row = ids(1, P)
    session = model.open()
    session.extend(row[:, : P - 1])
    logits = session.extend(row[:, P - 1 :])
    torch.testing.assert_close(logits[:, 0], model(row)[:, -1], rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match=f"{P} positions; a row would come to {P + 1} ids, 1 too many"):
        session.extend(row[:, :1])
    assert session.lengths.tolist() == [P]
    assert torch.equal(model.open().extend(row)[:, 0].isfinite(), torch.ones(1, V, dtype=torch.bool))
    with pytest.raises(ValueError, match=f"{P} positions; got {P + 2} ids, 2 too many"):
        model.open().extend(ids(1, P + 2))


def test_padding_may_pass_the_edge_where_ids_do_not() -> None:  # law 9
    """A full row beside a short one that takes many ids: the slots of the padding lie behind the edge."""
    model = small_model(dtype=torch.float64)
    session, naive, dice = model.open(), Naive(model), random.Random(0)
    extend_both(session, naive, [P - 2, 1], P - 2, 1, dice)
    extend_both(session, naive, [2, 10], 10, 3, dice)  # exactly full, with 8 ids of padding behind it
    extend_both(session, naive, [0, P - 11], P - 11, 2, dice)  # both full
    assert session.lengths.tolist() == [P, P]
    with pytest.raises(ValueError, match=f"come to {P + 1} ids, 1 too many"):
        session.extend(ids(2, 5), torch.tensor([0, 1]))
    session.rewind(torch.tensor([3, P]))
    naive.rewind([3, P])
    extend_both(session, naive, [P - 3, 0], P - 3, 4, dice)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: s.extend(ids(2, P - 4)), f"come to {P + 1} ids, 1 too many"),
        (lambda s: s.extend(ids(3, 2)), "this session has 2 rows; got ids for 3"),
        (lambda s: s.extend(ids(2, 2) + V), "ids must lie between 0 and 96"),
        (lambda s: s.extend(ids(2, 2).float()), "whole numbers"),
        (lambda s: s.extend(ids(2, 2)[0]), "shape"),
        (lambda s: s.extend(ids(2, 2), torch.tensor([1, 3])), r"for each of the 2 rows how many of its 2 .*\[1, 3\]"),
        (lambda s: s.extend(ids(2, 2), torch.tensor([1, -1])), r"for each of the 2 rows how many .*\[1, -1\]"),
        (lambda s: s.extend(ids(2, 2), torch.tensor([1])), r"for each of the 2 rows how many .*\[1\]"),
        (lambda s: s.extend(ids(2, 2), keep=3), "keep must be between 1 and the number of new positions, 2; got 3"),
        (lambda s: s.extend(ids(2, 2), keep=0), "keep must be between 1 and the number of new positions, 2; got 0"),
        (lambda s: s.select(torch.tensor([0, 2])), r"numbers from 0 to 1; got \[0, 2\]"),
        (lambda s: s.select(torch.tensor([-1])), r"numbers from 0 to 1; got \[-1\]"),
        (lambda s: s.select(torch.tensor([[0, 1]])), "numbers from 0 to 1"),
        (lambda s: s.rewind(torch.tensor([5, 4])), r"present one, \[5, 3\]; got \[5, 4\]"),
        (lambda s: s.rewind(torch.tensor([-1, 0])), r"present one, \[5, 3\]; got \[-1, 0\]"),
        (lambda s: s.rewind(torch.tensor([1])), r"present one, \[5, 3\]; got \[1\]"),
    ],
)
def test_an_error_is_a_sentence_and_changes_nothing(call, words: str) -> None:  # type: ignore[no-untyped-def]  # law 13
    model = small_model()
    session, twin = model.open(), model.open()
    for s in (session, twin):
        s.extend(ids(2, 5), torch.tensor([5, 3]))
    with pytest.raises(ValueError, match=words):
        call(session)
    assert torch.equal(session.lengths, twin.lengths)
    new = ids(2, 4, seed=9)
    assert torch.equal(session.extend(new, keep=4), twin.extend(new, keep=4))


def test_an_error_in_the_first_call_changes_nothing() -> None:
    """How many rows there are is still open then."""
    session = small_model().open()
    with pytest.raises(ValueError, match="too many"):
        session.extend(ids(3, P + 1))
    assert session.extend(ids(2, 3)).shape == (2, 1, V)


def test_a_session_without_rows_says_so() -> None:  # law 13
    session = small_model().open()
    assert session.lengths.shape == (0,)
    with pytest.raises(ValueError, match="no rows yet; extend it first"):
        session.select(torch.tensor([0]))
    with pytest.raises(ValueError, match="at least one row"):
        session.extend(torch.zeros(0, 3, dtype=torch.int64))


@pytest.mark.parametrize("nobody", [torch.tensor([], dtype=torch.int64), torch.tensor([])])
def test_all_rows_may_leave(nobody: Tensor) -> None:
    """An empty selection is allowed, in the dtype that PyTorch gives an empty list too."""
    session = small_model().open()
    session.extend(ids(2, 3))
    session.select(nobody)
    assert session.lengths.tolist() == []
    with pytest.raises(ValueError, match="this session has 0 rows; got ids for 1"):
        session.extend(ids(1, 1))


# --- side effects ---


def test_arguments_are_not_changed_and_not_kept() -> None:  # law 11
    model = small_model()
    block, n = ids(2, 4), torch.tensor([4, 2])
    rows, shorter = torch.tensor([1, 0]), torch.tensor([1, 3])
    copies = [tensor.clone() for tensor in (block, n, rows, shorter)]
    session = model.open()
    session.extend(block, n)
    session.select(rows)
    session.rewind(shorter)
    assert all(map(torch.equal, (block, n, rows, shorter), copies))
    for tensor in (block, n, rows, shorter):
        tensor.zero_()
    assert session.lengths.tolist() == [1, 3]
    session.extend(copies[0], copies[1])
    assert session.lengths.tolist() == [5, 5]


def test_sessions_of_one_model_are_strangers() -> None:  # law 5
    model = small_model()
    one, other = model.open(), model.open()
    one.extend(ids(1, 5))
    other.extend(ids(3, 7, seed=1))
    alone = model.open()
    alone.extend(ids(1, 5))
    assert torch.equal(one.extend(ids(1, 2, seed=2)), alone.extend(ids(1, 2, seed=2)))


def test_no_gradients_are_kept() -> None:
    session = small_model().open()
    logits = session.extend(ids(2, 3))
    assert not logits.requires_grad
    assert session._cache is not None
    assert not session._cache.requires_grad


def test_the_head_sees_the_kept_positions_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long prompt never meets the whole vocabulary: no (T, V) tensor, which at 1,000 ids would take 200 MB."""
    model = small_model(n_positions=1000)
    seen: list[tuple[int, ...]] = []
    true = GPT2.head

    def head(self: GPT2, x: Tensor) -> Tensor:
        seen.append(tuple(x.shape[:-1]))
        return true(self, x)

    monkeypatch.setattr(GPT2, "head", head)
    session = model.open()
    session.extend(ids(2, 900))
    session.extend(ids(2, 50), torch.tensor([50, 3]), keep=4)
    session.extend(ids(2, 1))
    assert seen == [(2, 1), (2, 4), (2, 1)]
    model(ids(2, 900))
    assert seen[-1] == (2, 900)  # the forward pass of training does, and the recorder sees it


def test_the_cache_does_not_grow_past_the_edge() -> None:
    model = GPT2(GPT2Config(n_vocab=11, n_positions=200, n_embd=8, n_layer=1, n_head=2)).eval()
    session = model.open()
    session.extend(torch.zeros(2, 150, dtype=torch.int64))
    session.extend(torch.zeros(2, 40, dtype=torch.int64))
    assert session._cache is not None
    assert session._cache.shape[4] == 200


def test_a_model_in_train_mode_does_not_generate() -> None:  # law 5: dropout would make every run another one
    model = GPT2(GPT2Config(n_vocab=11, n_positions=20, n_embd=8, n_layer=1, n_head=2))
    with pytest.raises(ValueError, match=r"train mode.*call \.eval\(\) first"):
        model.open()


# --- what is cached, to be looked at ---


def test_keys_and_values_are_those_of_the_layers() -> None:
    """Of each row on its own: what the second and last third of c_attn gives for its ids."""
    model = small_model()
    rows = [[5, 6, 7, 8], [9, 10]]
    session = model.open()
    session.extend(torch.tensor([[5, 6], [9, 0]]), torch.tensor([2, 1]))
    session.extend(torch.tensor([[7, 8], [10, 0]]), torch.tensor([2, 1]))
    cached = session.keys_and_values
    assert cached.shape == (SHAPE["n_layer"], 2, 2, SHAPE["n_head"], 4, SHAPE["n_embd"] // SHAPE["n_head"])
    for r, row in enumerate(rows):
        seen: list[Tensor] = []
        hooks = [
            block.attn.c_attn.register_forward_hook(lambda module, given, made, seen=seen: seen.append(made[0]))
            for block in model.h
        ]
        with torch.no_grad():
            model(torch.tensor([row]))
        for hook in hooks:
            hook.remove()
        for layer, made in enumerate(seen):  # (T, 3C)
            _, k, v = made.view(len(row), 3, SHAPE["n_head"], -1).unbind(1)  # (T, H, D)
            for which, expected in enumerate((k, v)):
                got = cached[layer, which, r, :, : len(row)].transpose(0, 1)  # (T, H, D)
                torch.testing.assert_close(got, expected, rtol=0, atol=TOLERANCE[got.dtype])


def test_keys_and_values_end_where_the_rows_do() -> None:
    session = small_model().open()
    with pytest.raises(ValueError, match="no rows yet; extend it first"):
        _ = session.keys_and_values
    session.extend(torch.tensor([[5, 6, 7], [8, 9, 10]]))
    session.rewind(torch.tensor([1, 2]))
    assert session.keys_and_values.shape[4] == 2
