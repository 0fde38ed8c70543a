"""Locks that are free in a process that is forked while another thread holds them: that thread is not there."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property
from typing import Any, TypeVar

_Value = TypeVar("_Value")


class ProcessLock:
    """A lock for `with` that a fork renews.

    >>> lock = ProcessLock()
    >>> with lock:
    ...     print("held")
    held
    """

    def __init__(self) -> None:
        """Free."""
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        """Waits until it is free."""
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        """Frees it."""
        self._lock.release()


class unlocked_property(cached_property[_Value]):
    """What `functools.cached_property` is from Python 3.12 on; before, all instances have one lock."""

    def __init__(self, func: Callable[[Any], _Value]) -> None:
        """`func`: of the instance; threads that ask at the same time may each call it."""
        super().__init__(func)
        self.lock = nullcontext()
