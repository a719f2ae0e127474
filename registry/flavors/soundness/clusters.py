"""K-means in its three forms and Birch, whose native code reads every centre as wide as the input.

Must never follow the tree of a bisecting k-means without counting: it may lead back to itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.cluster._bisect_k_means import _BisectingTree

from registry.flavors.refusals import Refused
from registry.flavors.soundness.reading import FIT_AGAIN, attributes, numbers, refusal, whole_number

RULE = "broken-clusters"
#: Prediction goes down this tree by calling itself, so a deeper one couldn't predict.
_DEEPEST = 400


def check_centres(clusters: Any) -> None:
    """Require that the centres are as wide as the input. Raises Refused."""
    stored = attributes(clusters)
    if "cluster_centers_" in stored:
        centres = numbers(stored["cluster_centers_"], 2)
        if centres is None or len(centres) == 0 or centres.shape[1] != whole_number(stored.get("n_features_in_")):
            raise _broken(clusters, "has centres of another width than its input")


def check_birch(birch: Any) -> None:
    """Require that each centre is as wide as the input and has one norm. Raises Refused."""
    stored = attributes(birch)
    if "subcluster_centers_" in stored:
        centres, norms = numbers(stored["subcluster_centers_"], 2), numbers(stored.get("_subcluster_norms"), 1)
        if (
            centres is None
            or norms is None
            or not 0 < len(norms) == len(centres)
            or centres.shape[1] != whole_number(stored.get("n_features_in_"))
        ):
            raise _broken(birch, "has centres of another width than its input, or another number of norms")


def check_bisecting(clusters: Any) -> None:
    """Require the same of each node of the tree that bisecting makes, and that its branches end. Raises Refused."""
    check_centres(clusters)
    stored = attributes(clusters)
    if "_bisecting_tree" not in stored:
        return
    width, seen = whole_number(stored.get("n_features_in_")), set[int]()
    waiting: list[tuple[Any, int]] = [(stored["_bisecting_tree"], 0)]
    while waiting:
        node, depth = waiting.pop()
        if type(node) is not _BisectingTree or id(node) in seen or depth > _DEEPEST:
            raise _broken(clusters, "has a tree of clusters that doesn't end, or is too deep")
        seen.add(id(node))
        branches = [attributes(node).get(side) for side in ("left", "right")]
        if depth and not _is_centre(attributes(node).get("center"), width):
            raise _broken(clusters, "has a tree of clusters with a centre of another width than its input")
        waiting += [(branch, depth + 1) for branch in branches if branches != [None, None]]


def _is_centre(centre: Any, width: int | None) -> bool:
    return type(centre) is np.ndarray and centre.shape == (width,) and centre.dtype.kind == "f"


def _broken(subject: Any, found: str) -> Refused:
    return refusal(RULE, subject, f"A {{name}} {found}. {FIT_AGAIN}")
