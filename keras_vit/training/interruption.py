"""Stop at the end of a step when the system asks for it."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, NoReturn

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: try again later


class TrainingInterrupted(SystemExit):
    """SIGTERM came: the state is saved, the same command goes on at this step.

    Not caught, it ends the process with exit code 75, so that a scheduler can tell it
    from an error.
    """

    def __init__(self, message: str) -> None:
        super().__init__(EXIT_CODE)
        self.message = message

    def __str__(self) -> str:
        return self.message


class Termination:
    """What SIGTERM does outside of training: it ends the process in order.

    Made for `signal.signal`. Libraries swallow an exception that reaches Python inside
    their callbacks, such as those of the garbage collector; `requested` stays.
    """

    def __init__(self) -> None:
        self.requested = False

    def __call__(self, number: int, frame: FrameType | None) -> NoReturn:
        self.requested = True
        raise SystemExit(128 + number)


class Interruption:
    """A scope in which SIGTERM sets `requested` instead of ending the process.

    Does nothing outside the main thread, where Python takes no signal handlers.

    Args:
        is_active: whether somebody asks for `requested`; else SIGTERM ends the process
            as it always does. Default True.
    """

    def __init__(self, is_active: bool = True) -> None:
        self.is_active = is_active
        self.requested = False
        self._former: Any = None
        self._is_set = False

    def __enter__(self) -> Interruption:
        is_main = threading.current_thread() is threading.main_thread()
        if self.is_active and is_main:
            self._former = signal.signal(signal.SIGTERM, self._handle)
            self._is_set = True
            if isinstance(self._former, Termination):
                # One that came before, and that a library has swallowed.
                self.requested = self._former.requested
        return self

    def __exit__(self, *error: Any) -> None:
        if self._is_set:
            signal.signal(signal.SIGTERM, self._former or signal.SIG_DFL)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
