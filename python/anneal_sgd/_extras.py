"""Modules that come with extras, and imports that no Ctrl-C breaks off."""

from __future__ import annotations

import contextlib
import importlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt at the end of the block, for a block that takes a second at most.

    Within it Python could lose the exception, in the callbacks of imports and in `__del__`, or leave a module half
    imported. Only Python's own handler is deferred.
    """
    if (
        threading.current_thread() is not threading.main_thread()  # others hear no signals
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    received: list[FrameType | None] = []
    signal.signal(signal.SIGINT, lambda _, frame: received.append(frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if received:
            signal.default_int_handler(signal.SIGINT, received[0])


def need(extra: str, *names: str) -> Any:
    """The first of these modules; ImportError that names all that are missing, and the extra that brings them.

    >>> need("campaigns", "json").dumps([])
    '[]'
    """
    missing = []
    with interrupts_deferred():
        for name in names:
            try:
                importlib.import_module(name)
            except ModuleNotFoundError:
                missing.append(name.partition(".")[0])
    if missing:
        raise ImportError(f"this needs {' and '.join(dict.fromkeys(missing))}: pip install 'anneal_sgd[{extra}]'")
    return importlib.import_module(names[0])
