"""The process of one engine: it loads the model, then does what it is asked, one JSON line for each request.

    python -m scripts.benchmarking.worker '{"kind": "eager", "weights": "float32", "folder": "...", ...}'

Engines stay apart because each brings its own threads and its own allocator.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from .memory import Peak, anonymous_bytes
from .runners import maker
from .timing import seconds


def load(kind: str, weights: str, folder: str, threads: int, watch: bool) -> tuple[Any, dict[str, Any]]:
    """The runner, and the anonymous memory before, at the peak of, and after loading it, where that is watched."""
    make = maker(kind)
    if not watch:  # nothing may delay a start that is timed
        return make(Path(folder), kind, weights, threads), {}
    before = anonymous_bytes()
    with Peak() as peak:
        runner = make(Path(folder), kind, weights, threads)
    return runner, {"before": before, "peak": peak.bytes, "loaded": anonymous_bytes()}


def do(runner: Any, task: str, arguments: dict[str, Any]) -> Any:
    """The answer to one request."""
    if task == "generate":
        return runner.generate(arguments["prompts"], arguments["new_ids"])
    if task == "speed":  # -> the seconds that each of these numbers of new ids takes
        prompts, warm = arguments["prompts"], arguments["warm"]
        if warm:
            runner.generate(prompts, 1)
        return [seconds(lambda: runner.generate(prompts, n)) for n in arguments["new_ids"]]  # noqa: B023
    if task == "memory":
        return anonymous_bytes()
    return getattr(runner, task)(**arguments)


def main(settings: str) -> int:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer

    def answer(content: dict[str, Any]) -> None:
        print(json.dumps(content), file=answers, flush=True)

    try:
        runner, memory = load(**json.loads(settings))
        answer({"answer": memory})
        for line in sys.stdin:
            request = json.loads(line)
            answer({"answer": do(runner, request.pop("task"), request)})
    except Exception as error:
        answer({"error": str(error) or type(error).__name__, "type": type(error).__name__})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
