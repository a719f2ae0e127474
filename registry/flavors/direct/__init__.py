"""Direct forms: a fitted estimator's arithmetic called without scikit-learn's own overhead, with the same bits as it gives.

A form is offered for exact classes of scikit-learn alone, and used only once it was proven on trial rows (`proving.py`). Must never
answer where it isn't sure that the estimator would: it returns None, and the estimator answers or refuses itself.
"""

from __future__ import annotations

from registry.flavors.direct.calling import DirectForm
from registry.flavors.direct.proving import proven_form

__all__ = ["DirectForm", "proven_form"]
