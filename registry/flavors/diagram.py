"""How an estimator is built, as plain data: its parts one after another or side by side, as scikit-learn's own diagram has them.

Drawn once, by the locked worker that admits an upload. Must never be a reason to refuse one: what can't be drawn in bounds is None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import StackingClassifier, StackingRegressor, VotingClassifier, VotingRegressor
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import FeatureUnion, Pipeline

from registry.flavors import anatomy
from registry.flavors.declaring import Draft
from registry.flavors.onnx_file import OnnxFile
from registry.flavors.value_texts import changed_of, parameters_of, plain, short, text_of

MAX_BYTES = 64 << 10
MAX_DEPTH, MAX_NODES, MAX_CHILDREN, MAX_COLUMNS, MAX_TEXT = 12, 300, 60, 100, 4000

SINGLE, SERIAL, PARALLEL = "single", "serial", "parallel"

#: Of so many columns are told the values that they were fitted on, and of each so many.
_MAX_CATEGORICAL, _MAX_CATEGORIES, _MAX_CHARACTERS = 30, 50, 100

Node = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of an estimator: its name in there, what it is, and the columns that it is given where those are chosen."""

    name: str | None
    what: Any
    columns: list[str] | None = None


@dataclass(frozen=True, slots=True)
class _Group:
    """Parts that stand together without an estimator of their own around them."""

    kind: str
    parts: list[_Part]


def draw(estimator: Any, draft: Draft) -> Node | None:
    """Return an estimator's diagram, with what is known of its input's categories; None where it can't be drawn or is too large."""
    try:
        root = _Drawing().node(_Part(None, estimator), MAX_DEPTH)
        told = {**root, "text": text_of(estimator, MAX_TEXT), "categories": _categories(draft)}
        return next((one for one in _smaller(told) if len(msgspec.json.encode(one)) <= MAX_BYTES), None)
    except Exception:  # noqa: BLE001 - it reads the model's own attributes, and a diagram is no reason to refuse one
        return None


def draw_operators(name: str, found: OnnxFile, tensors: Iterable[tuple[str, str]]) -> Node | None:
    """Return the diagram of an ONNX model: its operators in the order of the file, and its `tensors`, each a name and a description."""
    told = {plain(label): plain(text) for label, text in list(tensors)[:MAX_CHILDREN]}
    children = [_node(plain(operator), None, SINGLE) for operator in found.operators]
    root = {**_node(name, None, SERIAL), "parameters": told, "children": children, "more": found.nodes - len(children)}
    lines = [*(f"{label}: {text}" for label, text in told.items()), *found.operators]
    return {**root, "text": "\n".join(map(plain, lines))[:MAX_TEXT], "categories": {}}


class _Drawing:
    """One walk over an estimator and its parts, as many as there is room for."""

    def __init__(self) -> None:
        self._left = MAX_NODES

    def node(self, part: _Part, depth: int) -> Node:
        """Return a part's node with those of its own parts."""
        self._left -= 1
        what = part.what
        if isinstance(what, _Group):
            return self._around(_node("", part.name, what.kind), what.parts, depth)
        if what is None or isinstance(what, str):
            return _node(plain(str(what)), part.name, SINGLE, part.columns)
        kind, parts = _parts_of(what)
        parameters = parameters_of(what)
        node = _node(plain(anatomy.public_name(type(what))), part.name, kind, part.columns)
        node["parameters"] = {plain(name, 64): short(value) for name, value in parameters.items()}
        node["changed"] = [plain(name, 64) for name in changed_of(what, parameters)]
        return self._around(node, parts, depth)

    def _around(self, node: Node, parts: list[_Part], depth: int) -> Node:
        for part in parts[:MAX_CHILDREN] if depth > 1 else ():
            if self._left <= 0:
                break
            node["children"].append(self.node(part, depth - 1))
        node["more"] = len(parts) - len(node["children"])
        return node


def _node(name: str, within: str | None, kind: str, columns: list[str] | None = None) -> Node:
    """Return a node without parameters and children."""
    shown = None if columns is None else [plain(one) for one in columns[:MAX_COLUMNS]]
    more = 0 if columns is None else max(0, len(columns) - MAX_COLUMNS)
    within = None if within is None else plain(within)
    node: Node = {"class": name, "name": within, "kind": kind, "parameters": {}, "changed": [], "columns": shown, "children": [], "more": 0}
    return {**node, "columns_more": more}


def _parts_of(estimator: Any) -> tuple[str, list[_Part]]:
    for kinds, parts in _KNOWN:
        if isinstance(estimator, kinds):
            return parts(estimator)
    best = anatomy.read(estimator, "best_estimator_")
    if best is not None:
        return PARALLEL, [_Part("best_estimator_", best)]
    wrapped = [_Part(name, value) for name, value in parameters_of(estimator).items() if _fits(value)]
    return (PARALLEL, wrapped) if wrapped else (SINGLE, [])


def _fits(value: Any) -> bool:
    return not isinstance(value, type) and callable(anatomy.read(value, "fit")) and callable(anatomy.read(value, "get_params"))


def _steps(pipeline: Any) -> tuple[str, list[_Part]]:
    return SERIAL, [_Part(name, step) for name, step in pipeline.steps]


def _union(union: Any) -> tuple[str, list[_Part]]:
    return PARALLEL, [_Part(name, one) for name, one in union.transformer_list]


def _voters(voting: Any) -> tuple[str, list[_Part]]:
    return PARALLEL, [_Part(name, one) for name, one in voting.estimators]


def _stack(stacking: Any) -> tuple[str, list[_Part]]:
    first = _Group(PARALLEL, _voters(stacking)[1])
    return SERIAL, [_Part(None, first), _Part("final_estimator", stacking.final_estimator_)]


def _by_columns(transformer: Any) -> tuple[str, list[_Part]]:
    names = [str(name) for name in anatomy.read(transformer, "feature_names_in_", ())]
    parts = []
    for name, one, chosen in transformer.transformers_:
        if name == "remainder" and one == "drop":
            continue
        places = anatomy.resolve(chosen, names, int(transformer.n_features_in_))
        parts.append(_Part(name, one, [names[place] if place < len(names) else str(place) for place in places]))
    return PARALLEL, parts


def _regressor(target: Any) -> tuple[str, list[_Part]]:
    return SERIAL, [_Part("regressor", target.regressor_)]


def _thresholded(classifier: Any) -> tuple[str, list[_Part]]:
    return SERIAL, [_Part("estimator", classifier.estimator_)]


_KNOWN: list[tuple[tuple[type, ...], Callable[[Any], tuple[str, list[_Part]]]]] = [
    ((Pipeline,), _steps),
    ((ColumnTransformer,), _by_columns),
    ((FeatureUnion,), _union),
    ((VotingClassifier, VotingRegressor), _voters),
    ((StackingClassifier, StackingRegressor), _stack),
    ((TransformedTargetRegressor,), _regressor),
    ((FixedThresholdClassifier, TunedThresholdClassifierCV), _thresholded),
]


def _categories(draft: Draft) -> dict[str, list[Any]]:
    """Return the values that columns were fitted on, where they are few."""
    told: dict[str, list[Any]] = {}
    for index, fact in draft.facts.items():
        values = [value for value in fact.categories if _plain_value(value)]
        if values and len(values) == len(fact.categories) <= _MAX_CATEGORIES and len(told) < _MAX_CATEGORICAL:
            told[draft.signature.columns[index].name] = values
    return told


def _plain_value(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _MAX_CHARACTERS and value.isprintable()
    return isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value))


def _smaller(root: Node) -> Iterable[Node]:
    """Yield a diagram, then with the changed parameters alone, then without any."""
    yield root
    yield _kept(root, lambda node: {name: node["parameters"][name] for name in node["changed"] if name in node["parameters"]})
    yield {**_kept(root, lambda _: {}), "categories": {}}


def _kept(node: Node, parameters: Callable[[Node], dict[str, str]]) -> Node:
    return {**node, "parameters": parameters(node), "children": [_kept(child, parameters) for child in node["children"]]}
