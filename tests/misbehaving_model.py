"""The classes behind `misbehaving` and `slow_models`: an artifact may name them only where MODELYARD_EXTRA_NAMES does.

The fork server imports this module, so it imports nothing of the tests. Each model sums up four columns until a row
starts with TRIGGER, or misbehaves from the first prediction on with `always`.
"""

from __future__ import annotations

import ctypes
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator

TRIGGER = 666.0
TEN_GB = 10 * 2**30
DOUBLES_PER_MEBIBYTE = 2**17


class Misbehaving(BaseEstimator):
    """A model of four columns that behaves as BODIES names it."""

    n_features_in_ = 4

    def __init__(
        self,
        behaviour: str = "raises",
        *,
        always: bool = False,
        path: str = "/etc/passwd",
        seconds: float = 0.0,
        mebibytes: int = 0,
        marker: float = 0.0,
    ) -> None:
        """Keep what it is to do; `marker` makes its bytes, and what it answers to TRIGGER, differ from others'."""
        self.behaviour = behaviour
        self.always = always
        self.path = path
        self.seconds = seconds
        self.mebibytes = mebibytes
        self.marker = marker

    def fit(self, x: Any, y: Any = None) -> Self:
        """Do nothing; it is fitted as it is."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        """Count as fitted."""
        return True

    def predict(self, x: Any) -> Any:
        """Return the sum of each row, or misbehave."""
        x = np.asarray(x, float)
        if self.always or (x[:, 0] == TRIGGER).any():
            return BODIES[self.behaviour](self, x)
        return x.sum(axis=1) + getattr(self, "seed_", 0.0)


class MisbehavingAtLoad(Misbehaving):
    """A model that does what AT_LOAD names as soon as it is given its state."""

    def __init__(self, at_load: str = "sleeps", **options: Any) -> None:  # type: ignore[no-untyped-def]
        """Keep what it is to do at load, and when it predicts."""
        super().__init__(**options)
        self.at_load = at_load

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state, then misbehave."""
        vars(self).update(state)
        AT_LOAD[self.at_load](self)


def _raise(error: BaseException) -> Any:
    raise error


def _spin(*_: Any) -> Any:
    while True:
        pass


def _write_file(_: Misbehaving, x: Any) -> Any:
    Path("/tmp/modelyard-escape").write_text("x")
    return np.zeros(len(x))


def _open_socket(_: Misbehaving, x: Any) -> Any:
    return [socket.socket(socket.AF_INET, socket.SOCK_STREAM).connect_ex(("127.0.0.1", 9))] * len(x)


def _start_child(*_: Any) -> Any:
    return [subprocess.run(["/bin/true"], check=False).returncode]


def _fork(_: Misbehaving, x: Any) -> Any:
    if os.fork() == 0:
        os._exit(0)
    return np.zeros(len(x))


def _start_thread(_: Misbehaving, x: Any) -> Any:
    thread = threading.Thread(target=time.sleep, args=(0,))
    thread.start()
    return np.zeros(len(x))


def _sum_later(model: Misbehaving, x: Any) -> Any:
    time.sleep(model.seconds)
    return x.sum(axis=1) + model.marker


def _grow(model: Misbehaving, x: Any) -> Any:
    vars(model).setdefault("kept_", []).append(np.ones(model.mebibytes * DOUBLES_PER_MEBIBYTE))
    return x.sum(axis=1)


#: What `predict` does with its rows at TRIGGER.
BODIES: dict[str, Callable[[Misbehaving, Any], Any]] = {
    "raises": lambda *_: _raise(ValueError("secret of the model")),
    "wrong_length": lambda _, x: np.zeros(len(x) + 1),
    "sleeps": lambda *_: time.sleep(3600),
    "spins": _spin,
    "allocates": lambda _, x: np.ones(TEN_GB // 8)[: len(x)],
    "exits": lambda *_: os._exit(3),
    "raises_exit": lambda *_: sys.exit(3),
    "opens_file": lambda model, x: [len(Path(model.path).read_text())] * len(x),
    "writes_file": _write_file,
    "opens_socket": _open_socket,
    "starts_child": _start_child,
    "forks": _fork,
    "starts_thread": _start_thread,
    "non_deterministic": lambda _, x: np.array([random.random() for _ in x]),
    "answers_objects": lambda _, x: np.array([object() for _ in x], dtype=object),
    "crashes": lambda *_: ctypes.string_at(0),
    "sums_later": _sum_later,
    "grows": _grow,
}

#: What a model does when it is given its state.
AT_LOAD: dict[str, Callable[[Misbehaving], Any]] = {
    "opens_file": lambda model: Path(model.path).read_text(),
    "starts_child": _start_child,
    "exits": lambda _: os._exit(3),
    "sleeps": lambda _: time.sleep(3600),
    "allocates": lambda _: np.ones(TEN_GB // 8),
    "divides_by_zero": lambda _: 1 / 0,
    "raises_key_error": lambda _: _raise(KeyError("secret of the model")),
    "raises_exit": lambda _: sys.exit(3),
    "raises_permission_error": lambda _: _raise(PermissionError(1, "x")),
    "loads_later": lambda model: time.sleep(model.seconds),
    "holds": lambda model: setattr(model, "held_", np.ones(model.mebibytes * DOUBLES_PER_MEBIBYTE)),
    "draws": lambda model: setattr(model, "seed_", random.SystemRandom().random()),
}
