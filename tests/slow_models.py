"""Models that take their time, as self-contained pickles."""

from __future__ import annotations

from tests import misbehaving


def sleeping(seconds: float) -> bytes:
    """Return a model of four columns that sleeps so long before it answers rows that start with TRIGGER."""
    return _behaving(f"time.sleep({seconds}); return X.sum(axis=1)")


def sleeping_at_load(seconds: float, marker: float = 0.0) -> bytes:
    """Return a model of four columns that sleeps while it is loaded; `marker` makes its bytes differ from others."""
    source = misbehaving._SOURCE.replace("BODY", f"return X.sum(axis=1) + {marker}") + f"\ntime.sleep({seconds})\n"
    return misbehaving._pickled(_expression(source))


def holding(mebibytes: int, seconds: float = 0, marker: float = 0.0) -> bytes:
    """Return a model of four columns that holds so much memory, in an artifact of a few hundred bytes, and sleeps at TRIGGER."""
    source = misbehaving._SOURCE.replace("BODY", f"time.sleep({seconds}); return X.sum(axis=1) + {marker}")
    return misbehaving._pickled(_expression(f"{source}\nmodel.held_ = np.ones({mebibytes} * 2**17)\n"))


def differing() -> bytes:
    """Return a model of four columns that answers the same as long as it is loaded, and something else each time it is."""
    return misbehaving._pickled(
        _expression(
            misbehaving._SOURCE.replace("return X.sum(axis=1)", "return X.sum(axis=1) + SEED") + "\nSEED = random.SystemRandom().random()\n"
        )
    )


def growing(mebibytes: int) -> bytes:
    """Return a model of four columns that keeps so much more memory with each row that starts with TRIGGER."""
    return _behaving(f"self.__dict__.setdefault('kept_', []).append(np.ones({mebibytes} * 2**17)); return X.sum(axis=1)")


def _behaving(body: str) -> bytes:
    return misbehaving._pickled(_expression(misbehaving._SOURCE.replace("BODY", body)))


def _expression(source: str) -> str:
    names = {"TRIGGER": misbehaving.TRIGGER, "ALWAYS": False, "__name__": "made"}
    return f"(lambda names: (exec({source!r}, names), names['model'])[1])({names!r})"
