"""What to tell the publisher of an artifact that names what it may not: what was found, and what to do instead.

Text alone; nothing named here is looked up or imported.
"""

from __future__ import annotations

from registry.flavors.refusals import Refused, shown_name

#: What to say by the first part of a module's name.
_BY_ROOT: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("__main__", "__mp_main__"),
        ("which was defined in a notebook or script, so the server can't know it. For a transformer of your own use scikit-learn's classes, or do its "
        "work before you send the rows; for a FunctionTransformer use a NumPy function such as numpy.log1p; for a tokenizer of a text vectorizer use "
        "token_pattern; for a metric or kernel use one of scikit-learn's names."),
    ),
    (
        ("lightgbm", "xgboost", "catboost"),
        ("and models of {root} aren't accepted for now: its loader crashes on damaged files, and it can't run behind this server's walls yet. Publish a "
        "scikit-learn estimator, such as HistGradientBoostingClassifier, or convert the model to ONNX."),
    ),
    (
        ("cloudpickle", "dill", "types", "_pickle", "marshal", "_marshal"),
        ("which makes a function from code inside the file, as for a lambda. Use a NumPy function such as numpy.log1p in a FunctionTransformer, leave "
        "tokenizer, preprocessor and analyzer of a text vectorizer at their defaults, and dump with joblib.dump."),
    ),
    (
        ("os", "posix", "nt", "subprocess", "_posixsubprocess", "sys", "socket", "shutil", "pathlib", "io", "_io", "builtins", "__builtin__", "importlib",
         "runpy", "ctypes", "pickle", "code", "pty", "pdb", "timeit", "operator", "codecs", "webbrowser", "multiprocessing", "threading", "tempfile"),
        "which a fitted model never needs. Publish only the fitted estimator, dumped with joblib.dump in an environment that you trust.",
    ),
    (
        ("sklearn",),
        ("which isn't a part of a fitted model in the server's scikit-learn. Where it comes from another scikit-learn, fit and dump the model with the "
        "server's version; a loss, metric or function that is a parameter may be given by its name instead."),
    ),
    (
        ("numpy", "scipy"),
        ("which no fitted model of scikit-learn needs to name. A function may be one of NumPy's element-wise ones, such as numpy.log1p, or be done before you "
        "send the rows; a type may be a text, such as make_column_selector(dtype_include='number'). Then fit and dump the model again."),
    ),
    (
        ("pandas", "joblib"),
        ("which no fitted model of scikit-learn needs to name. Dump the fitted estimator alone, without data beside it; give its parameters as numbers, texts, "
        "lists or NumPy arrays, and fit it again where one of them was this."),
    ),
)  # fmt: skip


def refuse_name(module: str, qualname: str) -> Refused:
    """Return the refusal of a name that isn't in the table."""
    name = shown_name(f"{module}.{qualname}")
    return Refused("name-not-allowed", f"The artifact uses {name}, {_advice(module, qualname, name)}", name=name)


def _advice(module: str, qualname: str, name: str) -> str:
    root = module.partition(".")[0]
    if module.startswith("joblib.memory"):
        return "a cache on disk. Call set_params(memory=None) on the pipeline and dump it again."
    if module.startswith("numpy.random"):
        return "a random generator that isn't read here. Give random_state as a whole number, then fit and dump the model again."
    if module.startswith("scipy.stats"):
        return "a distribution that a random search drew from. Publish the model that the search found, search.best_estimator_, by itself."
    if (module, qualname) in (("builtins", "getattr"), ("__builtin__", "getattr")):
        return (
            "which is how a method such as str.split is written when it is a parameter. Leave tokenizer, preprocessor and analyzer of a text vectorizer at "
            "their defaults (token_pattern can do much of it), and give functions by name or as a NumPy ufunc."
        )
    for roots, sentence in _BY_ROOT:
        if root in roots or ("cloudpickle" in roots and ".cloudpickle" in module):
            return sentence.format(root=root)
    return (
        "and only scikit-learn's own classes are accepted. Build the model of those, or, where it is a class and not a function, ask the operator of this "
        f"server to install the package and to allow it with MODELYARD_EXTRA_NAMES={name.rpartition('.')[0]}:{shown_name(qualname)}."
    )
