"""What older scikit-learns wrote and the installed one would read without a word, and answer wrongly.

Found by comparing real files of older versions with their own predictions. Must never refuse what the installed version fits.
"""

from __future__ import annotations

from typing import Any

from registry.flavors.anatomy import public_name
from registry.flavors.refusals import Refused
from registry.flavors.soundness.reading import attributes

RULE = "other-scikit-learn"
_ROUNDING = 1e-6


def check_classifying_tree(estimator: Any) -> None:
    """Require that a classifier's tree holds shares of classes, as since scikit-learn 1.3; before, it held counts. Raises Refused."""
    tree = attributes(estimator).get("tree_")
    if tree is not None and (abs(tree.value[0].sum(axis=1) - 1) > _ROUNDING).any():
        raise _bygone(estimator, "counts where this server's scikit-learn keeps shares")


def check_boosted_classes(estimator: Any) -> None:
    """Require that AdaBoost was fitted by SAMME, the only algorithm that scikit-learn still has. Raises Refused."""
    if attributes(estimator).get("algorithm") == "SAMME.R":
        raise _bygone(estimator, "members for the algorithm SAMME.R, which this server's scikit-learn doesn't have any more")


def _bygone(estimator: Any, what: str) -> Refused:
    name = public_name(type(estimator))
    return Refused(
        RULE,
        f"The {name} was fitted by an older scikit-learn: it holds {what}, and would answer wrongly. Fit and dump it again with the server's version.",
        estimator=name,
    )
