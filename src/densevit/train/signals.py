"""SIGTERM and Ctrl-C end a training after its step, with a checkpoint."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether the process was asked to end.

    Attributes:
        received: number of the signal, 0 for none.
        at_once: whether the signal ends the process where it is, as when a checkpoint has just been written.
    """

    def __init__(self) -> None:
        self.received = 0
        self.at_once = False

    def handle(self, number: int, _: FrameType | None) -> None:
        """Notes a signal; the second one does not wait."""
        again, self.received = self.received, number
        if again or self.at_once:
            exit_for(number)


def exit_for(number: int) -> NoReturn:
    """Ends the process as the signal would: exit code 130 for SIGINT, 143 for SIGTERM."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


@contextmanager
def watch_signals() -> Iterator[StopRequest]:
    """Notes SIGINT and SIGTERM instead of ending; outside the main thread they stay as they are."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.handle) for number in _SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
