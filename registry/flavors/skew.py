"""Whether a model that was made with other versions of its libraries may serve here.

Same minor version: yes. Another minor: with golden predictions, which every load replays, or where the publisher accepts it.
Another major of scikit-learn: never. Must judge the same at admission, at each load and in `modelyard verify --load`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import sklearn

from registry.errors import ModelUnloadable, VersionSkew

RUNNING = {"scikit-learn": sklearn.__version__, "numpy": np.__version__}
_NUMBER = re.compile(r"\d{1,6}", re.ASCII)


def require_admissible(recorded: Mapping[str, str], *, golden: bool, accepted: bool) -> None:
    """Raise VersionSkew for an upload whose `recorded` versions can't serve here."""
    if (problem := _problem(recorded, golden=golden, accepted=accepted)) is not None:
        raise VersionSkew(
            problem, members={"recorded": dict(recorded), "running": {name: RUNNING[name] for name in recorded if name in RUNNING}}
        )


def require_servable(recorded: Mapping[str, str], *, golden: bool, accepted: bool) -> None:
    """Raise ModelUnloadable for a version whose `recorded` versions can't serve here any more."""
    if (problem := _problem(recorded, golden=golden, accepted=accepted)) is not None:
        raise ModelUnloadable(problem, log_detail=problem)


def _problem(recorded: Mapping[str, str], *, golden: bool, accepted: bool) -> str | None:
    """Return why a model with these versions may not serve, or None.

    A file tells the whole version of scikit-learn, but of NumPy the major alone; NumPy 2 reads what NumPy 1 wrote, so there
    the publisher may accept it.
    """
    for name, then in recorded.items():
        now = RUNNING.get(name, then)
        if _parts(then)[:1] == _parts(now)[:1]:
            continue
        if name == "scikit-learn":
            return f"The model was made with scikit-learn {then}; this server runs {now}, another major version. Fit and dump it with scikit-learn {_minor(now)}."
        if not accepted:
            return (
                f"The model was made with {name} {then}; this server runs {now}, another major version. Fit and dump it with {name} {_minor(now)}, "
                "or send accept_skew: true where you have compared its answers."
            )
    made_with = recorded.get("scikit-learn")
    if made_with is None or golden or accepted or _parts(made_with)[:2] == _parts(RUNNING["scikit-learn"])[:2]:
        return None
    return (
        f"The model was made with scikit-learn {made_with}; this server runs {RUNNING['scikit-learn']}, and without golden predictions nothing shows that "
        "it answers the same here. Send an input_example that it can predict, or accept_skew: true where you have compared its answers."
    )


def _parts(version: str) -> list[int]:
    return [int(found[0]) if (found := _NUMBER.match(part)) else -1 for part in version.split(".")]


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
