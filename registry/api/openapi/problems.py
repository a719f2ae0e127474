"""Every problem as a schema: its `type`, title and status are fixed, and so are the members that it may have besides.

Made from `errors.py` and the table of statuses, so that none is forgotten; the members of its own stand here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from registry import errors
from registry.api.openapi.headers import EVERYWHERE, LIMITS, OF_405, OF_STATUS, named
from registry.api.openapi.shapes import reference
from registry.api.problems import MAX_FINDINGS, STATUS, TYPE_PREFIX
from registry.errors import ModelyardError

PROBLEM_JSON = "application/problem+json"
#: Classes that are only ever a parent of what is raised.
PARENTS = (errors.NotFound, errors.ArtifactRefused, errors.Unavailable)
#: Those that say what is wrong where.
WITH_FINDINGS = (errors.InvalidRequest, errors.SignatureMismatch)

_TEXT, _NUMBER = {"type": "string"}, {"type": "integer"}
_TEXTS = {"type": "array", "items": _TEXT}
_FOUND = {
    "type": "array",
    "items": {"type": "object", "required": ["rule"], "properties": {"rule": _TEXT}},
    "description": "Which rule was broken, and by what.",
}
_LIBRARIES = {"type": "object", "additionalProperties": _TEXT}  # fmt: skip

#: The members that a problem may have besides the common ones, each with an example.
MEMBERS: dict[type[ModelyardError], dict[str, tuple[dict[str, Any], Any]]] = {
    errors.AliasMoved: {"version": (_NUMBER | {"description": "Where it points now."}, 3)},
    errors.VersionInUse: {
        "aliases": ({"anyOf": [_TEXTS, {"type": "object", "additionalProperties": _NUMBER}], "description": "Of a model: where each points."}, ["production"])
    },
    errors.RollbackTargetDeleted: {
        "deleted": (_NUMBER, 2), "next": ({"type": ["integer", "null"], "description": "The one below it that isn't deleted."}, 1),
    },
    errors.TargetNotServable: {"reason": (_TEXT | {"description": "The slug of what went wrong."}, "model-unloadable")},
    errors.RateLimited: {"limit": (_NUMBER, 6000), "remaining": (_NUMBER, 0), "reset_seconds": (_NUMBER, 12)},
    errors.MethodNotAvailable: {"methods": (_TEXTS, ["predict"])},
    errors.TooManyRows: {"rows": (_NUMBER, 200_000), "max_rows": (_NUMBER, 100_000)},
    errors.InvalidRequest: {"unknown": (_TEXTS | {"description": "Fields of a predict body that there aren't."}, ["datas"])},
    errors.UnsafeArtifact: {"found": (_FOUND, [{"rule": "unknown-name", "name": "os.system"}])},
    errors.NotAModel: {"found": (_FOUND, [{"rule": "not-an-object"}])},
    errors.UnknownFormat: {"found": (_FOUND, [{"rule": "not-an-object"}])},
    errors.VersionSkew: {"recorded": (_LIBRARIES, {"scikit-learn": "1.2.0"}), "running": (_LIBRARIES, {"scikit-learn": "1.9.1"})},
    errors.ModelUnloadable: {"recorded": (_LIBRARIES, {"scikit-learn": "1.2.0"}), "running": (_LIBRARIES, {"scikit-learn": "1.9.1"})},
    errors.ChecksumMismatch: {"sha256": (_TEXT, 64 * "1"), "expected": (_TEXT, 64 * "0")},
    errors.ArtifactTooLarge: {"max_bytes": (_NUMBER, 2_147_483_648)},
    errors.PredictionFailed: {"fate": (_TEXT | {"description": "How the model's process ended."}, "crashed")},
    errors.SandboxUnavailable: {"failed": (_TEXTS, ["seccomp"])},
}  # fmt: skip
#: What publishing may fail with when all is done but pointing the alias.
POINTING = (
    errors.TargetNotServable,
    errors.VersionDeleted,
    errors.VersionNotFound,
    errors.ModelNotFound,
    errors.IdempotencyKeyReused,
    errors.VersionStarting,
    errors.SandboxUnavailable,
    errors.RegistryUnavailable,
)
PUBLISHED: dict[str, Any] = {
    "type": "object", "additionalProperties": False, "required": ["model", "version"], "properties": {"model": _TEXT, "version": _NUMBER},
    "description": "What was published all the same: only its alias did not move.",
}  # fmt: skip


def described() -> list[type[ModelyardError]]:
    """Return the classes that are answered somewhere, by status and slug."""
    return sorted((cls for cls in STATUS if cls not in PARENTS), key=_order)


def _order(cls: type[ModelyardError]) -> tuple[int, str]:
    return STATUS[cls], cls.slug


def schemas() -> dict[str, Any]:
    """Return the schema of each problem under its class's name, and of any problem as `Problem`."""
    return {"Problem": _any_problem(), "Finding": _finding(), **{cls.__name__: _schema(cls) for cls in described()}}


def _any_problem() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "Any problem (RFC 9457).",
        "required": ["type", "title", "status", "detail", "instance", "request_id"],
        "properties": {**_common(), "type": {"type": "string", "enum": [TYPE_PREFIX + cls.slug for cls in described()]}},
    }


def _finding() -> dict[str, Any]:
    return {
        "type": "object", "description": "One bad value.", "required": ["detail"], "additionalProperties": False,
        "properties": {
            "detail": _TEXT, "pointer": _TEXT | {"description": "A JSON pointer to it, as a fragment."},
            "column": _TEXT | {"description": "The column that it belongs to."},
        },
    }  # fmt: skip


def _common() -> dict[str, Any]:
    return {
        "type": {"type": "string", "format": "uri"},
        "title": _TEXT | {"description": "Never varies."},
        "status": _NUMBER,
        "detail": _TEXT | {"description": "What is wrong this time, and what to do."},
        "instance": _TEXT | {"description": "The path that was asked for."},
        "request_id": _TEXT | {"description": "Under this the log has more."},
    }


def _schema(cls: type[ModelyardError]) -> dict[str, Any]:
    fixed = {"type": {"const": TYPE_PREFIX + cls.slug}, "title": {"const": cls.title}, "status": {"const": STATUS[cls]}}
    properties: dict[str, Any] = {**_common(), **fixed, **{name: schema for name, (schema, _) in MEMBERS.get(cls, {}).items()}}
    if cls in WITH_FINDINGS:
        properties["errors"] = {"type": "array", "maxItems": MAX_FINDINGS, "items": reference("Finding")}
    if cls in POINTING:
        properties["published"] = PUBLISHED
    return {
        "type": "object", "description": f"{cls.title}. {cls.__doc__}", "required": list(_common()), "properties": properties, "additionalProperties": False,
    }  # fmt: skip


def examples() -> dict[str, Any]:
    """Return an example of each problem under its slug."""
    return {cls.slug: {"summary": cls.title, "value": _example(cls)} for cls in described()}


def _example(cls: type[ModelyardError]) -> dict[str, Any]:
    value: dict[str, Any] = {
        "type": TYPE_PREFIX + cls.slug, "title": cls.title, "status": STATUS[cls], "detail": f"{cls.title}.", "instance": "/models/iris",
        "request_id": "9f86d081884c7d65", **{name: example for name, (_, example) in MEMBERS.get(cls, {}).items()},
    }  # fmt: skip
    if cls in WITH_FINDINGS:
        value["errors"] = [{"detail": 'expected a number, got "abc"', "pointer": "#/data/3/1", "column": "sepal_width"}]
    return value


def responses(classes: Iterable[type[ModelyardError]], *, counted: bool = False) -> dict[str, Any]:
    """Return the name of the response component for each status of what may go wrong, and the components by their names.

    `counted` ones may tell how the key stands with its limits.
    """
    by_status: dict[int, list[type[ModelyardError]]] = {}
    for cls in sorted(set(classes), key=_order):
        by_status.setdefault(STATUS[cls], []).append(cls)
    return {str(status): _response(status, found, counted=counted) for status, found in by_status.items()}


def name_of(response: dict[str, Any]) -> str:
    """Return the name of a response among the components: the slugs of its problems."""
    slugs = list(response["content"][PROBLEM_JSON]["examples"])
    counted = ".counted" if LIMITS[0] in response["headers"] else ""
    return ".".join(slugs) + counted


def _response(status: int, classes: list[type[ModelyardError]], *, counted: bool) -> dict[str, Any]:
    choices = [reference(cls.__name__) for cls in classes]
    own = OF_STATUS.get(status, ()) + (OF_405 if errors.MethodNotAllowed in classes else ())
    return {
        "description": " ".join(f"`{cls.slug}`: {cls.title}." for cls in classes),
        "headers": named(*EVERYWHERE, *own) | (named(*LIMITS, sometimes=True) if counted else {}),
        "content": {
            PROBLEM_JSON: {
                "schema": choices[0] if len(choices) == 1 else {"oneOf": choices},
                "examples": {cls.slug: {"$ref": f"#/components/examples/{cls.slug}"} for cls in classes},
            }
        },
    }
