"""Execute a notebook in a fresh kernel, offline, the way it is meant to be opened: from its own folder."""

from __future__ import annotations

import os
from copy import deepcopy
from pathlib import Path

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode


class RunError(RuntimeError):
    """A notebook that did not run to its end, with the reason."""


def run(notebook: NotebookNode, folder: Path, *, seconds: int = 120) -> NotebookNode:
    """A copy of the notebook with the outputs of every cell.

    folder    where the kernel starts
    seconds   the most that one cell may take

    Raises RunError where a cell takes longer, ends the kernel, or ends with an error and has no tag `raises-exception`,
    as the checks of a student copy have.
    """
    executed = deepcopy(notebook)
    client = NotebookClient(
        executed,
        timeout=seconds,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=40"],  # errors only: no word about sockets
    )
    try:
        client.execute(env=environment())
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise RunError(str(error)) from error
    executed.metadata = deepcopy(notebook.metadata)  # what the kernel says of itself differs from machine to machine
    return executed


def environment() -> dict[str, str]:
    """The kernel's environment: nothing from the Hub, and one thread, which small models run fastest with."""
    return os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}


def errors(cell: NotebookNode) -> list[tuple[str, str]]:
    """Name and message of the errors that a cell ended with."""
    return [(o.ename, o.evalue) for o in cell.get("outputs", []) if o.output_type == "error"]
