"""The same by names under the packages that models are made of: numpy, scipy, scikit-learn, pandas and joblib.

An allow-list by prefix, or one that trusts every class of these packages, would let these through.
"""

# ruff: noqa: ARG005 - each maker is handed its canary, also where it leaves no trace
from __future__ import annotations

from typing import Any

from tests.conformance.hostile.assembler import Built, Call, Expression, Name, New, loading
from tests.conformance.hostile.case import Canary
from tests.conformance.hostile.payloads import Payload, call, method, name


def _inner(canary: Canary) -> Call:
    return call("io:BytesIO", loading(call("os:system", canary.command)))


def _distribution(canary: Canary) -> Expression:
    """`__setstate__` of a SciPy distribution executes a template that is part of the state."""
    state: dict[str, Any] = {"_parse_arg_template": canary.source, "_ctor_param": {}, "shapes": None, "numargs": 0}
    return Built(New(name("scipy.stats._distn_infrastructure:rv_continuous")), state)


def _scoring_monitor(canary: Canary) -> Expression:
    """`__setstate__` of a callback opens a listener, in a thread, or asks an address that is part of the state."""
    return Built(New(name("sklearn.callback._scoring_monitor:ScoringMonitor")), {"_log": [], "_listener_handle": None})


def _remote(canary: Canary) -> Expression:
    metadata = New(name("sklearn.datasets._base:RemoteFileMetadata"), "data", canary.url, "x")
    return call("sklearn.datasets._base:_fetch_remote", metadata, str(canary.folder), 0, 0.1)


def _batch(canary: Canary) -> Expression:
    return Call(
        call(
            "joblib.parallel:BatchedCalls",
            [(name("os:system"), (canary.command,), {})],
            (call("joblib._parallel_backends:SequentialBackend"), 1),
        )
    )


def _numpy_pickle(canary: Canary) -> bytes:
    header = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + loading(call("os:system", canary.command))


NUMPY: dict[str, Payload] = {
    "numpy-runstring": lambda c: call("numpy.testing._private.utils:runstring", c.source, {}),
    "numpy-measure": lambda c: call("numpy.testing._private.utils:measure", c.source),
    "numpy-f2py-eval": lambda c: call("numpy.f2py.crackfortran:myeval", c.source, {}, {}),
    "numpy-save": lambda c: call("numpy:save", c.marker, [1]),
    "numpy-savetxt": lambda c: call("numpy:savetxt", c.marker, [1]),
    "numpy-savez": lambda c: call("numpy:savez", c.marker, [1]),
    "numpy-memmap": lambda c: call("numpy:memmap", c.marker, "u1", "w+", 0, (8,)),
    "numpy-memmap-new": lambda c: New(name("numpy:memmap"), c.marker, "u1", "w+", 0, (8,)),
    "numpy-tofile": lambda c: method(call("numpy:zeros", 3), "tofile", c.marker),
    "numpy-ndarray-dump": lambda c: call("numpy:ndarray.dump", call("numpy:zeros", 3), c.marker),
    "numpy-load": lambda c: call("numpy:load", call("io:BytesIO", _numpy_pickle(c)), None, True),
    "numpy-read-array": lambda c: call("numpy.lib.format:read_array", call("io:BytesIO", _numpy_pickle(c)), True),
    "numpy-fromfile": lambda c: call("numpy:fromfile", "/dev/zero", "u1", 100),
    "numpy-loadtxt-url": lambda c: call("numpy:loadtxt", c.url),
    "numpy-genfromtxt-url": lambda c: call("numpy:genfromtxt", c.url),
    "numpy-datasource": lambda c: call("numpy.lib.npyio:DataSource.open", call("numpy.lib.npyio:DataSource", str(c.folder)), c.url),
    "numpy-vectorize": lambda c: Call(call("numpy:vectorize", name("os:system")), c.command),
    "numpy-frompyfunc": lambda c: Call(call("numpy:frompyfunc", name("os:system"), 1, 1), c.command),
    "numpy-apply-along-axis": lambda c: call("numpy:apply_along_axis", name("builtins:print"), 0, [1.0]),
    "numpy-fromfunction": lambda c: call("numpy:fromfunction", call("functools:partial", name("os:system"), c.command), ()),
    "numpy-piecewise": lambda c: call("numpy:piecewise", [1.0], [True], [call("operator:methodcaller", "tofile", c.marker)]),
    "numpy-extbuild": lambda c: call("numpy.testing._private.extbuild:compile_extension_module", "x", str(c.folder), [], [], ""),
    "numpy-os-by-another-module": lambda c: call("numpy._pytesttester:os.system", c.command),
    "numpy-builtins-by-another-module": lambda c: call("numpy._core.numeric:builtins.eval", c.source),
    "numpy-pickle-by-another-module": lambda c: call("numpy.lib._format_impl:pickle.load", _inner(c)),
    "numpy-subprocess-by-another-module": lambda c: call("numpy.f2py:subprocess.call", ["touch", c.marker]),
    "numpy-with-dotted-os": lambda c: call("numpy:os.system", c.command),
    "numpy-ctypeslib": lambda c: call("numpy.ctypeslib:load_library", "libc.so.6", "/lib/x86_64-linux-gnu"),
}

SCIPY: dict[str, Payload] = {
    "scipy-distribution-setstate": _distribution,
    "scipy-savemat": lambda c: call("scipy.io:savemat", c.marker, {"x": [1]}),
    "scipy-mmwrite": lambda c: call("scipy.io:mmwrite", c.marker, [[1.0]]),
    "scipy-wavfile": lambda c: call("scipy.io.wavfile:write", c.marker, 8000, call("numpy:zeros", 3)),
    "scipy-netcdf": lambda c: method(call("scipy.io:netcdf_file", c.marker, "w"), "flush"),
    "scipy-fortran-file": lambda c: call("scipy.io:FortranFile", c.marker, "w"),
    "scipy-save-npz": lambda c: call("scipy.sparse:save_npz", c.marker, call("scipy.sparse:csr_matrix", [[1.0]])),
    "scipy-testutils": lambda c: call("scipy._lib._testutils:subprocess.call", ["touch", c.marker]),
    "scipy-lower-than-python": lambda c: call("scipy:LowLevelCallable", call("ctypes:CDLL", None)),
    "scipy-brute": lambda c: call("scipy.optimize:brute", name("builtins:print"), ((0.0, 1.0),)),
    "scipy-builtins": lambda c: call("scipy.stats._binned_statistic:builtins.exec", c.source),
}

SKLEARN: dict[str, Payload] = {
    "sklearn-callback-setstate": _scoring_monitor,
    "sklearn-dump-svmlight": lambda c: call("sklearn.datasets:dump_svmlight_file", [[1.0]], [1.0], c.marker),
    "sklearn-data-home": lambda c: call("sklearn.datasets:get_data_home", c.marker),
    "sklearn-clear-data-home": lambda c: call("sklearn.datasets:clear_data_home", str(c.folder)),
    "sklearn-load-files": lambda c: call("sklearn.datasets:load_files", str(c.folder)),
    "sklearn-fetch-openml": lambda c: call("sklearn.datasets._openml:_open_openml_url", c.url, None, 0, 0.1),
    "sklearn-fetch-remote": _remote,
    "sklearn-shutil-by-another-module": lambda c: call("sklearn.datasets._base:shutil.rmtree", str(c.folder)),
    "sklearn-importlib-by-another-module": lambda c: method(
        call("sklearn.utils._set_output:importlib.import_module", "os"), "system", c.command
    ),
    "sklearn-warnings-by-another-module": lambda c: method(name("sklearn.base:warnings.sys.modules"), "clear"),
    "sklearn-function-transformer-called": lambda c: method(
        call("sklearn.preprocessing:FunctionTransformer", name("os:system")), "transform", c.command
    ),
    "sklearn-set-config": lambda c: call("sklearn:set_config", True, 1),
    "sklearn-testing-run": lambda c: call("sklearn.utils._testing:assert_run_python_script_without_output", c.source),
    "sklearn-estimator-html": lambda c: call("sklearn.utils._repr_html.base:Path", c.marker),
    "sklearn-clone": lambda c: call("sklearn.base:clone", name("os:system")),
    "sklearn-check-estimator": lambda c: call("sklearn.utils.estimator_checks:check_estimator", name("builtins:object")),
}

JOBLIB_AND_PANDAS: dict[str, Payload] = {
    "joblib-memory": lambda c: call("joblib:Memory", c.marker),
    "joblib-dump": lambda c: call("joblib:dump", [1], c.marker),
    "joblib-batched-calls": _batch,
    "joblib-os-by-another-module": lambda c: call("joblib.disk:os.system", c.command),
    "joblib-pickle-by-another-module": lambda c: call("joblib.numpy_pickle:pickle.load", _inner(c)),
    "joblib-delete-folder": lambda c: call("joblib.disk:delete_folder", str(c.folder)),
    "joblib-loky-subprocess": lambda c: call("joblib.externals.loky.backend.context:subprocess.call", ["touch", c.marker]),
    "joblib-unpickle": lambda c: call("joblib.numpy_pickle:_unpickle", _inner(c), False),
    "joblib-old-array-wrapper": lambda c: Built(
        New(name("joblib.numpy_pickle_compat:NDArrayWrapper")),
        {"filename": c.sentinel, "subclass": Name("numpy", "ndarray"), "allow_mmap": False},
    ),
    "joblib-old-zipped-array-wrapper": lambda c: Built(
        New(name("joblib.numpy_pickle_compat:ZNDArrayWrapper")), {"filename": c.sentinel, "init_args": (), "state": ()}
    ),
    "pandas-read-pickle": lambda c: call("pandas:read_pickle", _inner(c)),
    "pandas-read-csv-url": lambda c: call("pandas:read_csv", c.url),
    "pandas-get-handle": lambda c: call("pandas.io.common:get_handle", c.marker, "w"),
    "pandas-to-csv": lambda c: method(call("pandas:DataFrame", [1]), "to_csv", c.marker),
    "pandas-apply": lambda c: method(call("pandas:Series", [c.command]), "map", name("os:system")),
    "pandas-pipe": lambda c: method(call("pandas:Series", [1]), "pipe", call("operator:methodcaller", "to_pickle", c.marker)),
    "pandas-eval": lambda c: call("pandas:eval", f"@pd.io.common.os.system('{c.command}')"),
}

#: Leave no trace when they are loaded plainly: they need what isn't here, or do other harm.
UNSURE = {
    "numpy-fromfile", "numpy-apply-along-axis", "numpy-extbuild", "numpy-with-dotted-os", "numpy-ctypeslib", "scipy-lower-than-python", "scipy-brute",
    "sklearn-load-files", "sklearn-callback-setstate", "sklearn-warnings-by-another-module", "sklearn-set-config", "sklearn-estimator-html", "sklearn-clone",
    "sklearn-check-estimator", "joblib-old-array-wrapper", "joblib-old-zipped-array-wrapper", "pandas-eval",
}  # fmt: skip

PACKAGES: dict[str, Payload] = {**NUMPY, **SCIPY, **SKLEARN, **JOBLIB_AND_PANDAS}
