"""State that is set where no state belongs: on classes, modules, shared objects, twice, over methods, by dunder names."""

# ruff: noqa: ARG005 - each maker is handed its canary, also where it leaves no trace
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.conformance.hostile.assembler import Built, Call, Expression, Name, New, Program, Raw, code_of, loading, planted
from tests.conformance.hostile.case import Canary, Hostile, Trap
from tests.conformance.hostile.names import fitted, with_state
from tests.conformance.hostile.payloads import call, name

LINEAR = Name("sklearn.linear_model._base", "LinearRegression")
LOGISTIC = Name("sklearn.linear_model._logistic", "LogisticRegression")
BUNCH = Name("sklearn.utils._bunch", "Bunch")
Maker = Callable[[Canary], bytes]


def _model(state: Any) -> Expression:
    return Built(New(LOGISTIC), state)


def _full(**more: Any) -> dict[str, Any]:
    return {**fitted().__getstate__(), **more}


def _built(state: Any) -> bytes:
    """Return the file of a good model whose state was changed."""
    return planted(Raw(code_of(New(LOGISTIC)) + planted(state)[2:-1] + b"b"))


def _tracing(canary: Canary) -> Call:
    """Return a callable that leaves a trace whatever it is called with."""
    return call("builtins:eval", f"lambda *a, **k: {canary.source}")


def _after(code: Any) -> bytes:
    """Return a good model behind something that is built and popped."""
    return b"\x80\x04" + code_of(code) + b"0" + planted(fitted())[2:]


FIRING: dict[str, Maker] = {
    "setstate-by-state": lambda c: planted(Built(_spaced(__setstate__=name("os:system")), c.command)),
    "predict-shadowed": lambda c: _built(_full(predict=_tracing(c))),
    "predict-proba-shadowed": lambda c: _built(_full(predict_proba=_tracing(c))),
    "decision-function-shadowed": lambda c: _built(_full(decision_function=_tracing(c))),
    "method-of-a-mixin-replaced": lambda c: _after(
        Built(name("sklearn.linear_model._base:LinearClassifierMixin"), (None, {"predict": _tracing(c)}))
    ),
    "private-method-shadowed": lambda c: _built(_full(_check_n_features=_tracing(c), predict=_tracing(c))),
    "function-of-a-module-replaced": lambda c: _after(
        Built(name("sklearn.linear_model._base:validate_data"), (None, {"__code__": _code_of_eval(c)}))
    ),
    "module-attribute-replaced": lambda c: _after(Built(_module("sklearn.linear_model._base"), {"validate_data": _tracing(c)})),
}

QUIET: dict[str, Maker] = {
    "predict-of-the-class-replaced": lambda c: _after(Built(LOGISTIC, (None, {"predict": _tracing(c)}))),
    "state-on-a-class": lambda c: _after(Built(LINEAR, {"copy_X": True})),
    "slots-state-on-a-class": lambda c: _after(Built(LINEAR, (None, {"predict": name("builtins:len")}))),
    "state-on-a-base-class": lambda c: _after(Built(name("sklearn.base:BaseEstimator"), (None, {"__sklearn_tags__": None}))),
    "state-on-a-function": lambda c: _after(Built(name("sklearn.base:clone"), {"x": 1})),
    "state-on-a-ufunc": lambda c: _after(Built(name("numpy:exp"), {"x": 1})),
    "state-on-a-module": lambda c: _after(Built(_module("sklearn"), {"x": 1})),
    "state-on-a-shared-instance": lambda c: _after(Built(name("sklearn.utils._metadata_requests:REQUEST_IS_ALIAS"), {"x": 1})),
    "state-on-a-shared-scorer-table": lambda c: _after(Raw(code_of(name("sklearn.metrics._scorer:_SCORERS")) + code_of("x") + b"Ns")),
    "state-on-a-number": lambda c: planted(with_state(C=Built(1, {"x": 1}))),
    "state-on-a-text": lambda c: planted(with_state(solver=Built("lbfgs", {"x": 1}))),
    "state-on-a-list": lambda c: planted(with_state(class_weight=Built([1], {"x": 1}))),
    "state-on-a-tuple": lambda c: planted(with_state(class_weight=Built((1,), {"x": 1}))),
    "state-on-none": lambda c: planted(with_state(class_weight=Built(None, {"x": 1}))),
    "state-on-a-dtype-class": lambda c: planted(with_state(coef_=Built(name("numpy:float64"), {"x": 1}))),
    "state-twice": lambda c: planted(Raw(code_of(New(LOGISTIC)) + planted(_full())[2:-1] + b"b" + code_of({"C": 2.0}) + b"b")),
    "state-twice-by-memo": lambda c: planted(
        Raw(code_of(New(LOGISTIC)) + b"q\xf0" + planted(_full())[2:-1] + b"b0h\xf0" + code_of({"intercept_": None}) + b"b")
    ),
    "state-is-a-list": lambda c: loading(_model([1, 2])),
    "state-is-a-tuple-of-two": lambda c: loading(_model((None, {"coef_": 1}))),
    "state-is-a-text": lambda c: loading(_model("state")),
    "state-is-none": lambda c: loading(_model(None)),
    "state-is-an-estimator": lambda c: loading(_model(New(LINEAR))),
    "state-is-an-ordered-dict": lambda c: loading(_model(call("collections:OrderedDict"))),
    "state-is-a-bunch": lambda c: loading(_model(New(BUNCH))),
    "state-is-changed-afterwards": lambda c: loading(Raw(code_of(New(LOGISTIC)) + b"}q\xf0b0h\xf0" + code_of("coef_") + b"Ns")),
    "state-is-itself": lambda c: loading(Raw(code_of(New(LOGISTIC)) + b"2b")),
    "state-of-two-objects-is-one": lambda c: _shared_state(),
    "key-is-a-number": lambda c: _built({**_full(), 7: 1}),
    "key-is-bytes": lambda c: _built({**_full(), b"coef_": 1}),
    "key-is-a-tuple": lambda c: _built({**_full(), ("coef_",): 1}),
    "key-is-none": lambda c: _built({**_full(), None: 1}),
    "key-is-no-identifier": lambda c: _built({**_full(), "os.system": 1}),
    "key-is-empty": lambda c: _built({**_full(), "": 1}),
    "key-has-a-nul": lambda c: _built({**_full(), "coef_\0": 1}),
    "key-is-long": lambda c: _built({**_full(), "x" * 1_000_000: 1}),
    "key-is-a-text-subclass": lambda c: _built({**_full(), call("numpy:str_", "predict"): 1}),
    "key-is-dunder-class": lambda c: _built(_full(__class__=name("sklearn.linear_model._base:LinearRegression"))),
    "key-is-dunder-dict": lambda c: _built(_full(__dict__={"coef_": 1})),
    "key-is-dunder-reduce": lambda c: _built(_full(__reduce__=name("os:system"))),
    "key-is-dunder-reduce-ex": lambda c: _built(_full(__reduce_ex__=1)),
    "key-is-dunder-getattr": lambda c: _built(_full(__getattr__=name("builtins:print"))),
    "key-is-dunder-getattribute": lambda c: _built(_full(__getattribute__=1)),
    "key-is-dunder-del": lambda c: _built(_full(__del__=name("os:getpid"))),
    "key-is-dunder-setstate": lambda c: _built(_full(__setstate__=1)),
    "key-is-dunder-init": lambda c: _built(_full(__init__=1)),
    "key-is-dunder-module": lambda c: _built(_full(__module__="os")),
    "key-is-dunder-sklearn-tags": lambda c: _built(_full(__sklearn_tags__=1)),
    "key-is-dunder-sklearn-is-fitted": lambda c: _built(_full(__sklearn_is_fitted__=1)),
    "key-is-dunder-array": lambda c: _built(_full(__array__=1)),
    "key-is-dunder-array-ufunc": lambda c: _built(_full(__array_ufunc__=None)),
    "key-is-dunder-array-interface": lambda c: _built(
        _full(__array_interface__={"shape": (1 << 20,), "typestr": "<f8", "data": (4096, False), "version": 3})
    ),
    "array-interface-as-coefficients": lambda c: planted(with_state(coef_=_spaced(__array_interface__=_interface()))),
    "key-hides-fit": lambda c: _built(_full(fit=1)),
    "key-hides-get-params": lambda c: _built(_full(get_params=1)),
    "key-hides-a-property": lambda c: _built(_full(_repr_html_=1)),
    "key-hides-transform-of-a-scaler": lambda c: loading(
        Built(New(Name("sklearn.preprocessing._data", "StandardScaler")), {"transform": 1, "mean_": 1, "scale_": 1})
    ),
    "bunch-with-a-dunder-key": lambda c: planted(with_state(class_weight=Raw(code_of(New(BUNCH)) + code_of("__class__") + b"Ns"))),
    "bunch-with-dunder-state": lambda c: planted(with_state(class_weight=Built(New(BUNCH), {"__class__": name("builtins:dict")}))),
    "dict-with-state": lambda c: planted(with_state(class_weight=Built(call("collections:OrderedDict"), {"update": 1}))),
    "defaultdict-of-a-foreign-factory": lambda c: planted(with_state(class_weight=call("collections:defaultdict", name("os:getpid")))),
    "ordered-dict-of-a-foreign-iterator": lambda c: planted(with_state(class_weight=call("collections:OrderedDict", name("sys:modules")))),
    "version-of-scikit-learn-is-a-list": lambda c: _built(_full(_sklearn_version=["1.9.1"])),
    "version-of-scikit-learn-is-long": lambda c: _built(_full(_sklearn_version="9" * 1_000_000)),
    "version-of-scikit-learn-is-2": lambda c: _built(_full(_sklearn_version="2.0.0")),
    "coefficients-are-a-class": lambda c: planted(with_state(coef_=LINEAR)),
    "coefficients-are-an-estimator": lambda c: planted(with_state(coef_=New(LINEAR))),
    "estimator-that-holds-itself": lambda c: planted(
        Raw(code_of(New(LOGISTIC)) + b"q\xf0" + b"}" + code_of("estimator") + b"h\xf0s" + b"b")
    ),
}


def _spaced(**state: Any) -> Expression:
    return Built(call("types:SimpleNamespace"), state)


def _interface() -> dict[str, Any]:
    return {"shape": (1, 3), "typestr": "<f8", "data": (4096, False), "version": 3}


def _module(dotted: str) -> Call:
    return call("importlib:import_module", dotted)


def _code_of_eval(canary: Canary) -> Expression:
    """Return code that runs the canary whatever it is called with."""
    source = f"lambda *a, **k: {canary.source}"
    return call("builtins:getattr", call("builtins:eval", source), "__code__")


def _shared_state() -> bytes:
    """Return a pipeline-like list of two models whose dict of state is the same object."""
    state = code_of({"coef_": None})
    return Program().op(b"](", code_of(New(LINEAR)), state, b"q\xf0b", code_of(New(LINEAR)), b"h\xf0be").stop()


def make(trap: Trap) -> Iterator[Hostile]:
    """Make every file of this kind."""
    for fires, makers in ((True, FIRING), (False, QUIET)):
        for title, build in makers.items():
            canary = trap.canary(f"build-{title}")
            yield Hostile(canary.folder.name, "build", build(canary), canary, fires=fires)
