"""The runtime `fast`: a version's estimator compiled, verified against the estimator within a tolerance, and called in its place.

Made inside locked workers alone, from the estimator that the loader built. Needs the extra `fast`; without it everything is
refused in so many words. `warm_up` imports what a worker can't.
"""

from __future__ import annotations

from registry.flavors.compiled.making import Compilation, compile_version, open_compiled
from registry.flavors.compiled.warming import warm_up

__all__ = ["Compilation", "compile_version", "open_compiled", "warm_up"]
