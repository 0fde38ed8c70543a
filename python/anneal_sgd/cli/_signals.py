"""Ctrl-C and SIGTERM: one line and the exit status 130 or 143, whenever they come.

Where nothing would be lost, the process ends at once: an exception could come out anywhere, also where Python cannot
pass it on, as in the callbacks of imports. Inside `Keeping` the first signal raises KeyboardInterrupt, for what has
been computed to be kept and workers to be ended; those that follow change nothing.

Nothing is imported here that is not there when Python has started: until `arm` has run, an interrupt is a traceback.

Windows sends Ctrl-C only. It has no timer that signals, for which a thread stands in, and no mask: what starts in
`Deferring` sees Ctrl-C there.
"""

from __future__ import annotations

# `signal` without its enumerations, which take milliseconds to make.
import _signal as signal  # type: ignore[import-not-found]
import _thread
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
_LOST_SECONDS, _LONGEST_SECONDS = 0.02, 30.0  # until a lost exception is raised again; to keep what is to be kept

_ALARM = getattr(signal, "SIGALRM", None) or signal.SIGBREAK  # the latter, of Windows, is Ctrl-Break too
_HAS_TIMER, _HAS_MASK = hasattr(signal, "setitimer"), hasattr(signal, "pthread_sigmask")

_received = _alarms = 0
_keeping = _deferring = _lost = False
_clean_up: list[Callable[[], None]] = []


class Keeping:
    """A block that a signal leaves by KeyboardInterrupt."""

    def __enter__(self) -> None:
        """Begin it."""
        global _keeping
        _keeping = True

    def __exit__(self, *_: object) -> None:
        """End it."""
        global _keeping
        _keeping = False
        _raise_received()


class Deferring:
    """A part of `Keeping` that signals leave at its end. Threads and processes that start in it never see Ctrl-C.

    A terminal sends that to every process.
    """

    def __enter__(self) -> None:
        """Begin it."""
        global _deferring
        _deferring = True
        if _HAS_MASK:
            self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])

    def __exit__(self, *_: object) -> None:
        """End it."""
        global _deferring
        if _HAS_MASK:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        _deferring = False
        _raise_received()


def arm() -> None:
    """Take over both signals, for the rest of the process; one that is ignored, as in background jobs, stays so."""
    for number in _WORDS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _first)
    signal.signal(_ALARM, _alarm)
    sys.unraisablehook = _unraisable


def before_leaving(clean_up: Callable[[], None]) -> None:
    """Have a function called where a signal ends the process at once."""
    _clean_up.append(clean_up)


def told() -> int:
    """Say in one line what ends the process; the exit status."""
    print(_line(), file=sys.stderr, flush=True)
    return _status()


def finish(status: int) -> NoReturn:
    """End the process; signals that come now change nothing."""
    for number in _WORDS:
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit(status)


def _first(number: int, frame: Any) -> None:
    global _received
    for each in _WORDS:
        signal.signal(each, _later)
    _received = number
    if not _keeping:
        _leave()
    _alarm_after(_LONGEST_SECONDS)
    if not _deferring:
        raise KeyboardInterrupt


def _later(number: int, frame: Any) -> None:
    """Changes nothing."""


def _alarm_after(seconds: float) -> None:
    """Instead of an alarm that is still to come."""
    global _alarms
    if _HAS_TIMER:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        return
    _alarms += 1
    _thread.start_new_thread(_wait, (_alarms, seconds))


def _wait(alarm: int, seconds: float) -> None:
    time.sleep(seconds)
    if alarm == _alarms and _lost:
        _thread.interrupt_main(_ALARM)  # which the main thread hears when it next runs Python
        time.sleep(_LONGEST_SECONDS)
    if alarm == _alarms:
        _leave()


def _alarm(number: int, frame: Any) -> None:
    """The exception was lost, or what is to be kept takes too long."""
    global _lost
    if not _lost:
        _leave()
    _lost = False
    _alarm_after(_LONGEST_SECONDS)
    raise KeyboardInterrupt


def _unraisable(told: sys.UnraisableHookArgs) -> None:
    """Where Python could not pass an exception on: an interrupt comes again, and what follows from one is not told."""
    global _lost
    if not _received:
        sys.__unraisablehook__(told)
    elif issubclass(told.exc_type, KeyboardInterrupt):
        _lost = True
        _alarm_after(_LOST_SECONDS)


def _raise_received() -> None:
    if _received:
        raise KeyboardInterrupt


def _leave() -> NoReturn:
    for clean_up in _clean_up:
        clean_up()
    os.write(2, f"{_line()}\n".encode())  # sys.stderr may be in use
    os._exit(_status())


def _line() -> str:
    return f"anneal-sgd: {_WORDS[_received or signal.SIGINT]}"


def _status() -> int:
    return 128 + int(_received or signal.SIGINT)
