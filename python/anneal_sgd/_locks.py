"""Locks that are free in a process that is forked while another thread holds them: that thread is not there."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property
from typing import Any, TypeVar

_Value = TypeVar("_Value")


def lock_of_process() -> threading.Lock:
    """One that a fork renews.

    >>> with lock_of_process() as held:
    ...     held
    True
    """
    lock = threading.Lock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lock._at_fork_reinit)  # type: ignore[attr-defined]
    return lock


class unlocked_property(cached_property[_Value]):
    """What `functools.cached_property` is from Python 3.12 on; before, all instances have one lock."""

    def __init__(self, func: Callable[[Any], _Value]) -> None:
        """`func`: of the instance; threads that ask at the same time may each call it."""
        super().__init__(func)
        self.lock = nullcontext()
