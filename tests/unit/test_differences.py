"""What differs between two versions is told once, in words, whatever their publishers wrote."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from registry.catalog import Version
from registry.console.differences import ADDED, CHANGED, MAX_COLUMNS, REMOVED, SAME, Difference, differences

_AT = datetime(2026, 1, 1, tzinfo=UTC)


def _version(inputs: list[dict[str, Any]] | None = None, outputs: dict[str, Any] | None = None, **fields: Any) -> Version:
    usual: dict[str, Any] = {
        **dict.fromkeys(("golden_from", "fast", "fast_report", "deleted_at", "load_error")),
        **dict.fromkeys(("deterministic", "batching"), True),
        **dict.fromkeys(("accept_skew", "pinned"), False),
        **{name: {} for name in ("tags", "metrics", "parameters", "source")},
        "id": 1, "model": "iris", "number": 1, "status": "ready", "flavor": "sklearn", "estimator": "sklearn.svm.SVC", "sha256": "ab" * 32,
        "size_bytes": 10, "methods": ("predict",), "environment": {"python": "3.11"}, "golden_rows": 0, "runtime": "exact", "cache": "auto",
        "description": "", "aliases": (), "created_at": _AT, "created_by": "me",
    }  # fmt: skip
    signature = {"container": "array", "named": True, "inputs": inputs or [], "outputs": outputs or {}}
    return Version(**{**usual, "signature": signature, **fields})


def _column(name: str, kind: str = "float64", **more: bool) -> dict[str, Any]:
    return {"name": name, "type": kind, "required": True, "missing": False, **more}


def _kinds(group: tuple[Difference, ...]) -> dict[str, str]:
    return {one.name: one.kind for one in group}


def test_a_version_differs_in_nothing_from_itself() -> None:
    """All is the same, nothing breaks, nothing is counted."""
    version = _version([_column("a")], {"predict": {"type": "int64"}}, metrics={"auc": 0.9}, parameters={"C": 1})
    found = differences(version, version)
    assert (found.count, found.breaks, found.columns, found.columns_same) == (0, (), (), 1)
    assert [one.kind for one in (*found.metrics, *found.parameters, *found.methods, *found.environment)] == [SAME] * 4


def test_metrics_tell_what_they_gained_and_parameters_compare_as_json() -> None:
    """A delta stands by a number in both; 1, true and "1" are three values, and show as three."""
    a = _version(metrics={"auc": 0.5, "f1": 0.5}, parameters={"one": 1, "same": {"a": [1]}, "none": None, "gone": "<b>"})
    b = _version(metrics={"auc": 0.75, "loss": 2.0}, parameters={"one": "1", "same": {"a": [1]}, "none": None})
    found = differences(a, b)
    assert [(one.name, one.kind, one.before, one.after, one.delta) for one in found.metrics] == [
        ("auc", CHANGED, "0.5", "0.75", 0.25),
        ("f1", REMOVED, "0.5", None, None),
        ("loss", ADDED, None, "2", None),
    ]
    near = differences(_version(metrics={"auc": 0.9, "mse": 0.1}), _version(metrics={"auc": 0.9 + 1e-9, "mse": 0.1 + 0.2})).metrics
    assert [(one.before, one.after) for one in near] == [("0.9", "0.900000001"), ("0.1", "0.3")]
    assert [(one.kind, one.before, one.after) for one in found.parameters] == [
        (CHANGED, "1", '"1"'),
        (SAME, '{"a": [1]}', '{"a": [1]}'),
        (SAME, "null", "null"),
        (REMOVED, "<b>", None),
    ]
    assert found.count == 5


def test_columns_say_what_callers_would_notice() -> None:
    """New required, gone, another type, no null any more: each is a sentence; an optional new one breaks nothing."""
    optional: dict[str, Any] = {"required": False, "missing": True}
    a = _version([_column("same"), _column("gone"), _column("type"), _column("null", missing=True), _column("left out", **optional)])
    b = _version(
        [_column("same"), _column("type", "string"), _column("null"), _column("left out", missing=True), _column("new"),
         _column("may", **optional)]
    )  # fmt: skip
    found = differences(a, b)
    assert _kinds(found.columns) == {"gone": REMOVED, "type": CHANGED, "null": CHANGED, "left out": CHANGED, "new": ADDED, "may": ADDED}
    assert found.columns_same == 1
    assert found.breaks == (
        "It refuses the column gone.",
        "It takes the column type as string, not as float64.",
        "It takes no null in the column null.",
        "It needs the column left out, which may be left out of the other.",
        "It needs the column new, which the other doesn't have.",
    )


def test_the_same_columns_in_another_order_are_told() -> None:
    """Rows without names would be read differently."""
    found = differences(_version([_column("a"), _column("b")]), _version([_column("b"), _column("a")]))
    assert found.columns == ()
    assert [text.startswith("Its columns stand in another order") for text in found.breaks] == [True]


def test_methods_and_environment_and_how_it_is_served_are_compared() -> None:
    """Classes and shapes stand in an answer's text; versions of an artifact's own libraries have names that say so."""
    a = _version(
        outputs={"predict": {"type": "int64"}, "predict_proba": {"type": "float64", "columns": [0, 1], "shape": [2]}},
        environment={"python": "3.11", "numpy": "2.0", "recorded": {"numpy": "1.26"}},
    )
    b = _version(outputs={"predict": {"type": "string"}}, environment={"python": "3.11", "numpy": "2.1"}, cache="off", estimator="x.Y")
    found = differences(a, b)
    assert [(one.name, one.kind, one.before, one.after) for one in found.methods] == [
        ("predict", CHANGED, "int64", "string"),
        ("predict_proba", REMOVED, "float64, 2 a row, for 0, 1", None),
    ]
    assert found.breaks == ("Its predict answers in another form.", "It has no predict_proba.")
    assert _kinds(found.environment) == {"python": SAME, "numpy": CHANGED, "numpy, made with": REMOVED}
    assert [one.name for one in found.serving if one.differs] == ["cache"]
    assert found.estimator.differs


def test_a_wide_model_is_told_up_to_a_bound() -> None:
    """Of thousands of differing columns some are named and the rest are counted; long texts are cut."""
    count = 5000
    found = differences(_version([_column(f"a{i}") for i in range(count)]), _version([_column("b" * 10_000)]))
    assert (len(found.columns), found.columns_left_out, found.columns_same) == (MAX_COLUMNS, count + 1 - MAX_COLUMNS, 0)
    assert found.count == count + 1
    long = differences(_version(parameters={"p": "x" * 5000 + "1"}), _version(parameters={"p": "x" * 5000 + "2"})).parameters[0]
    assert long.kind == CHANGED
    assert len(long.after or "") <= 300
