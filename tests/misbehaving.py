"""Models that misbehave, as self-contained pickles: their class is made by `exec` when they are loaded.

Nothing of this module is needed to load them, so that a worker can. Each behaves well until a row starts with
TRIGGER, or from the first prediction on with `always`.
"""

from __future__ import annotations

import pickle
from typing import Any

TRIGGER = 666.0

_SOURCE = """
import os, random, socket, subprocess, threading, time
import numpy as np
from sklearn.base import BaseEstimator

class Model(BaseEstimator):
    n_features_in_ = 4
    def fit(self, X, y=None):
        return self
    def __sklearn_is_fitted__(self):
        return True
    def predict(self, X):
        X = np.asarray(X, float)
        if ALWAYS or (X[:, 0] == TRIGGER).any():
            return self.misbehave(X)
        return X.sum(axis=1)
    def misbehave(self, X):
        BODY

Model.__qualname__ = Model.__name__ = "Misbehaving"
model = Model()
"""

BODIES = {
    "raises": "raise ValueError('secret of the model')",
    "wrong_length": "return np.zeros(len(X) + 1)",
    "sleeps": "time.sleep(3600)",
    "spins": "\n        while True: pass",
    "allocates": "return np.ones(10 * 2**30 // 8)[:len(X)]",
    "exits": "os._exit(3)",
    "raises_exit": "raise SystemExit(3)",
    "opens_file": "return [len(open('/etc/passwd').read())] * len(X)",
    "writes_file": "\n        with open('/tmp/modelyard-escape', 'w') as f: f.write('x')\n        return np.zeros(len(X))",
    "opens_socket": "return [socket.socket(socket.AF_INET, socket.SOCK_STREAM).connect_ex(('127.0.0.1', 9))] * len(X)",
    "starts_child": "return [subprocess.run(['/bin/true']).returncode] * len(X)",
    "forks": "\n        pid = os.fork()\n        if pid == 0: os._exit(0)\n        return np.zeros(len(X))",
    "starts_thread": "\n        thread = threading.Thread(target=time.sleep, args=(0,))\n        thread.start()\n        return np.zeros(len(X))",
    "non_deterministic": "return np.array([random.random() for _ in X])",
    "answers_objects": "return np.array([object() for _ in X], dtype=object)",
    "crashes": "\n        import ctypes\n        ctypes.string_at(0)",
}


class _Made:
    """Unpickles as whatever an expression gives; `eval` and its argument are all that the pickle holds."""

    def __init__(self, expression: str) -> None:
        self._expression = expression

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return eval, (self._expression,)


def model(behaviour: str, *, always: bool = False) -> bytes:
    """Return the pickle of a model of four columns that behaves as BODIES names it."""
    source = _SOURCE.replace("BODY", BODIES[behaviour])
    names = {"TRIGGER": TRIGGER, "ALWAYS": always, "__name__": "made"}
    return _pickled(f"(lambda names: (exec({source!r}, names), names['model'])[1])({names!r})")


def loads_with(expression: str) -> bytes:
    """Return a pickle that evaluates `expression` while it is loaded."""
    return _pickled(expression)


def opens_file_at_load() -> bytes:
    """Return a pickle that reads a file while it is loaded."""
    return _pickled("open('/etc/passwd').read()")


def starts_child_at_load() -> bytes:
    """Return a pickle that runs a program while it is loaded."""
    return _pickled("__import__('os').system('/bin/true')")


def exits_at_load() -> bytes:
    """Return a pickle that ends the process while it is loaded."""
    return _pickled("__import__('os')._exit(3)")


def sleeps_at_load() -> bytes:
    """Return a pickle that sleeps while it is loaded."""
    return _pickled("__import__('time').sleep(3600)")


def allocates_at_load() -> bytes:
    """Return a pickle that takes 10 GB while it is loaded."""
    return _pickled("__import__('numpy').ones(10 * 2**30 // 8)")


def _pickled(expression: str) -> bytes:
    return pickle.dumps(_Made(expression), protocol=4)
