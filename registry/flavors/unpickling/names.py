"""The table of names that an artifact may use, by exact pair of module and name; everything else is refused.

Made once, when this module is imported, from the installed scikit-learn's list of estimators and from the lists below, each
judged by hand; a test holds it to a reviewed list. Must never be widened by anything that an artifact says.

Three kinds: NEW (an empty object, then its state), CALL (through a constructor of ours that checks its arguments), VALUE
(handed out, never called or changed by the machine).
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
from types import MappingProxyType
from typing import Any

import numpy as np
import scipy.sparse
import scipy.special
import sklearn.metrics
import sklearn.metrics.pairwise
from joblib import numpy_pickle
from sklearn import model_selection
from sklearn._loss import _loss as cython_losses
from sklearn._loss import link, loss
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401 - they complete all_estimators
from sklearn.gaussian_process import kernels
from sklearn.linear_model import _sgd_fast
from sklearn.metrics import _dist_metrics
from sklearn.neighbors import BallTree, KDTree
from sklearn.tree import _tree
from sklearn.utils import all_estimators

from registry.flavors.unpickling import advice, arrays, building
from registry.flavors.unpickling.tokens import Argument, Call, Make, New

Pair = tuple[str, str]

#: Classes besides the estimators whose objects fitted estimators hold; all written in Python, with a plain dict as their state.
_PARTS = {
    "scipy.interpolate._bsplines": ("BSpline",),
    "sklearn.calibration": ("_CalibratedClassifier", "_SigmoidCalibration", "_TemperatureScaling"),
    "sklearn.cluster._birch": ("_CFNode", "_CFSubcluster"),
    "sklearn.cluster._bisect_k_means": ("_BisectingTree",),
    "sklearn.compose._column_transformer": ("make_column_selector",),
    "sklearn.ensemble._hist_gradient_boosting.binning": ("_BinMapper",),
    "sklearn.ensemble._hist_gradient_boosting.predictor": ("TreePredictor",),
    "sklearn.gaussian_process._gpc": ("_BinaryGaussianProcessClassifierLaplace",),
    "sklearn.impute._iterative": ("_ImputerTriplet",),
    "sklearn.metrics._scorer": ("_CurveScorer", "_MultimetricScorer", "_PassthroughScorer", "_Scorer"),
    "sklearn.model_selection._split": ("_CVIterableWrapper",),
    "sklearn.multiclass": ("_ConstantPredictor",),
    "sklearn.neural_network._stochastic_optimizers": ("AdamOptimizer", "SGDOptimizer"),
    "sklearn.utils._bunch": ("Bunch",),
    "sklearn.utils._metadata_requests": ("MetadataRequest", "MethodMetadataRequest"),
    **{f"scipy.sparse._{form}": (f"{form}_array", f"{form}_matrix") for form in ("bsr", "coo", "csc", "csr", "dia", "lil")},
}
#: Modules whose own classes are such parts as well: losses and their links, kernels.
_PART_MODULES = (loss, link, kernels)
_SPLITTERS = tuple(
    cls
    for name in model_selection.__all__
    if inspect.isclass(cls := getattr(model_selection, name)) and cls.__module__ == "sklearn.model_selection._split"
)
#: Modules of compiled losses, made of numbers alone.
_NUMBER_MADE_MODULES = (cython_losses, _sgd_fast)
#: Compiled losses that Cython pickles, or pickled, by a function of its own; they hold nothing.
_STATELESS = (
    cython_losses.CyAbsoluteError, cython_losses.CyExponentialLoss, cython_losses.CyHalfBinomialLoss, cython_losses.CyHalfGammaLoss,
    cython_losses.CyHalfMultinomialLoss, cython_losses.CyHalfPoissonLoss, cython_losses.CyHalfSquaredError,
)  # fmt: skip
#: Functions that only compute, and that estimators keep as parameters.
_FUNCTIONS = {
    "scipy._lib.array_api_compat.numpy._aliases": ("asarray",),
    "sklearn.cluster._kmeans": ("_kmeans_single_elkan", "_kmeans_single_lloyd"),
    "sklearn.feature_selection._mutual_info": ("mutual_info_classif", "mutual_info_regression"),
    "sklearn.feature_selection._univariate_selection": ("chi2", "f_classif", "f_regression", "r_regression"),
    "sklearn.utils.validation": ("check_array",),
}
_NUMPY_FUNCTIONS = ("amax", "amin", "max", "mean", "median", "min", "nanmean", "nanmedian", "std", "sum", "var")
_TYPES = (bool, float, int, object, str)
#: NumPy's abstract kinds of numbers, as `make_column_selector(dtype_include=np.number)` keeps one.
_KINDS = (np.generic, np.number, np.integer, np.signedinteger, np.unsignedinteger, np.inexact, np.floating, np.complexfloating)
_FACTORIES = (dict, list, set)

#: Where older libraries kept what is elsewhere now: the beginning of a module's name, and what it is called today.
_MOVED = (
    ("__builtin__", "builtins"),
    ("numpy.core", "numpy._core"),
    ("sklearn.externals.joblib", "joblib"),
    ("_loss", "sklearn._loss._loss"),  # how scikit-learn 1.4 to 1.8 named its compiled modules
    ("_sgd_fast", "sklearn.linear_model._sgd_fast"),
)
_MOVED_NAMES = {
    ("builtins", "long"): ("builtins", "int"),
    ("builtins", "unicode"): ("builtins", "str"),
    ("builtins", "xrange"): ("builtins", "range"),
    ("numpy", "bool_"): ("numpy", "bool"),
    ("numpy.ma.core", "MaskedArray"): ("numpy.ma", "MaskedArray"),
    ("numpy._core._multiarray_umath", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core._multiarray_umath", "scalar"): ("numpy._core.multiarray", "scalar"),
    **{(f"scipy.sparse.{form}", f"{form}_matrix"): (f"scipy.sparse._{form}", f"{form}_matrix") for form in ("csr", "csc", "coo")},
}


def _news() -> dict[Pair, Any]:
    """Return the classes that NEWOBJ may make."""
    found = [cls for _, cls in all_estimators()] + [*_listed(_PARTS).values(), *_SPLITTERS]
    for module in _PART_MODULES:
        found += [cls for cls in vars(module).values() if inspect.isclass(cls) and cls.__module__ == module.__name__]
    table = {pair_of(cls): New(*pair_of(cls), cls, building.restorer_of(cls)) for cls in found if not inspect.isabstract(cls)}
    table["joblib.numpy_pickle", "NumpyArrayWrapper"] = New(
        "joblib.numpy_pickle", "NumpyArrayWrapper", numpy_pickle.NumpyArrayWrapper, building.joblib_array
    )
    return table


def _calls() -> dict[Pair, Any]:
    """Return what REDUCE may call, each with our constructor, and the classes that only such a constructor takes."""
    made: dict[Pair, Make] = {
        ("_codecs", "encode"): building.make_encoded,
        ("builtins", "bytes"): building.make_bytes,
        ("builtins", "set"): building.make_set,
        ("builtins", "frozenset"): building.make_frozenset,
        ("builtins", "slice"): building.make_slice,
        ("builtins", "range"): building.make_range,
        ("collections", "OrderedDict"): building.make_ordered_dict,
        ("collections", "defaultdict"): building.make_default_dict,
        ("functools", "partial"): building.make_partial,
        ("numpy", "dtype"): arrays.make_dtype,
        ("numpy._core.multiarray", "_reconstruct"): arrays.make_array,
        ("numpy._core.multiarray", "scalar"): arrays.make_scalar,
        ("numpy._core.numeric", "_frombuffer"): arrays.make_array_of_buffer,
        ("numpy._core", "_ufunc_reconstruct"): _make_ufunc,
        ("numpy.ma.core", "_mareconstruct"): arrays.make_masked_array,
        ("numpy.random._pickle", "__bit_generator_ctor"): arrays.make_bit_generator,
        ("numpy.random._pickle", "__generator_ctor"): arrays.make_generator,
        ("numpy.random._pickle", "__randomstate_ctor"): arrays.make_random_state,
        ("numpy.random.bit_generator", "SeedSequence"): arrays.make_seed_sequence,
        ("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"): arrays.make_seed_sequence,
        **{
            ("sklearn._loss._loss", f"__pyx_unpickle_{cls.__name__}"): functools.partial(building.make_stateless, cls) for cls in _STATELESS
        },
        ("sklearn.metrics._dist_metrics", "newObj"): building.make_metric,
        ("sklearn.neighbors._ball_tree", "newObj"): building.make_neighbour_tree,
        ("sklearn.neighbors._kd_tree", "newObj"): building.make_neighbour_tree,
        pair_of(_tree.Tree): building.make_tree,
        **{pair_of(cls): functools.partial(building.make_of_numbers, cls) for cls in _number_made()},
    }
    table: dict[Pair, Any] = {pair: Call(*pair, make) for pair, make in made.items()}
    numpy_classes = (np.ndarray, np.memmap, np.random.MT19937, np.random.PCG64)
    for cls in (*_metrics(), KDTree, BallTree, *numpy_classes, *_STATELESS, *_FACTORIES):
        table.setdefault(pair_of(cls), Argument(*pair_of(cls), cls))
    table["numpy.ma", "MaskedArray"] = Argument("numpy.ma", "MaskedArray", np.ma.MaskedArray)
    table["numpy.random.bit_generator", "SeedSequence"] = Argument("numpy.random.bit_generator", "SeedSequence", np.random.SeedSequence)
    return table


def _metrics() -> list[type]:
    """Return the compiled distance metrics, but those that call a Python function."""
    bases = (_dist_metrics.DistanceMetric64, _dist_metrics.DistanceMetric32)
    by_function = (_dist_metrics.PyFuncDistance64, _dist_metrics.PyFuncDistance32)
    return [cls for cls in _leaves(_dist_metrics) if issubclass(cls, bases) and cls not in by_function]


def _number_made() -> list[type]:
    return [cls for module in _NUMBER_MADE_MODULES for cls in _leaves(module)]


def _leaves(module: Any) -> list[type]:
    """Return a module's own classes that none of its others derives from."""
    own = [cls for cls in vars(module).values() if inspect.isclass(cls) and cls.__module__ == module.__name__]
    return [cls for cls in own if not any(other is not cls and issubclass(other, cls) for other in own)]


def _values() -> dict[Pair, Any]:
    """Return what is handed out as it is."""
    table: dict[Pair, Any] = {("builtins", kind.__name__): kind for kind in _TYPES}
    for name, value in vars(np).items():
        if isinstance(value, np.ufunc):
            table["numpy", name] = table["numpy._core._multiarray_umath", name] = value
    for name, value in vars(scipy.special).items():
        if isinstance(value, np.ufunc):
            table["scipy.special._ufuncs", name] = table["scipy.special", name] = value
    for kind in (*_KINDS, *set(np.sctypeDict.values())):
        if kind in _KINDS or issubclass(kind, (np.number, np.bool_, np.str_, np.bytes_)):
            table["numpy", kind.__name__] = kind
    for name in _NUMPY_FUNCTIONS:
        table["numpy", name] = getattr(np, name)
        table["numpy._core.fromnumeric", name] = getattr(np, name)
    for function in (*_functions_of(sklearn.metrics), *_functions_of(sklearn.metrics.pairwise)):
        table[pair_of(function)] = function
    return {**table, **_listed(_FUNCTIONS)}


def _listed(listed: dict[str, tuple[str, ...]]) -> dict[Pair, Any]:
    """Return what our own lists name, as far as the installed libraries have it."""
    modules = {name: importlib.import_module(name) for name in listed if importlib.util.find_spec(name) is not None}
    pairs = [(module, name) for module in modules for name in listed[module]]
    return {(module, name): getattr(modules[module], name) for module, name in pairs if hasattr(modules[module], name)}


def _functions_of(module: Any) -> list[Any]:
    """Return the public functions of a module of scikit-learn."""
    named = [getattr(module, name) for name in getattr(module, "__all__", dir(module)) if not name.startswith("_")]
    return [one for one in named if inspect.isfunction(one) and one.__module__.startswith("sklearn.metrics")]


def pair_of(thing: Any) -> Pair:
    """Return the module and the name under which pickle writes a class or function."""
    return thing.__module__, thing.__qualname__


def _make_ufunc(_reading: Any, arguments: tuple[Any, ...]) -> Any:
    """Return a ufunc: `_ufunc_reconstruct(module, name)`, as older NumPy wrote it."""
    found = TABLE.get(("numpy", arguments[1])) if len(arguments) == 2 and type(arguments[1]) is str else None  # noqa: PLR2004
    if not isinstance(found, np.ufunc):
        name = arguments[-1] if arguments and type(arguments[-1]) is str else "(not a name)"
        raise advice.refuse_name("numpy", name[:80])
    return found


TABLE = MappingProxyType({**_values(), **_calls(), **_news()})
_extra: dict[Pair, New] = {}


def allow_extra(module: str, qualname: str, cls: type) -> None:
    """Let artifacts make objects of a class that the operator vouches for; its own `__setstate__` is called where it has one."""
    _extra[module, qualname] = New(module, qualname, cls, building.restorer_of_extra(cls))


def find(module: str, qualname: str, recorded: dict[str, str]) -> Any:
    """Return what a name stands for: a token, or a value. Raises Refused. Notes in `recorded` which NumPy the name tells of."""
    found = TABLE.get((module, qualname))
    if found is None:
        found = _extra.get((module, qualname)) or TABLE.get(_today(module, qualname))
        if found is None:
            raise advice.refuse_name(module, qualname)
    if module.startswith(("numpy.core", "numpy._core")):
        recorded.setdefault("numpy", "1" if module.startswith("numpy.core") else "2")
    return found


def _today(module: str, qualname: str) -> Pair:
    for before, now in _MOVED:
        if module == before or module.startswith(f"{before}."):
            module = now + module[len(before) :]
    return _MOVED_NAMES.get((module, qualname), (module, qualname))


def kind_of(found: Any) -> str:
    """Return NEW, CALL or VALUE, for the reviewed list."""
    return "NEW" if type(found) is New else "CALL" if type(found) in (Call, Argument) else "VALUE"
