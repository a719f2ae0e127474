"""Every SQL statement of the registry, one module per noun.

Functions need an application context, raise the errors of `registry/errors.py`, return frozen values and never commit: the
caller begins a write with `begin_write` and commits once. Callers write `catalog.add_version(...)`.
"""

from registry.catalog.aliases import alias_at, delete_alias, get_alias, list_aliases, list_moves, point_alias
from registry.catalog.compiled_forms import find_compile_spec, list_pending, note_compile_refused, note_compiled
from registry.catalog.events import changes_since, list_events, record_event
from registry.catalog.generation import begin_write, generation
from registry.catalog.idempotency import find_idempotent, keep_idempotent
from registry.catalog.keys import UNCHANGED, add_key, change_key, count_keys, find_key, get_key, list_keys, revoke_key, rotate_key
from registry.catalog.records import (
    Alias,
    ApiKey,
    Change,
    CompileSpec,
    Event,
    Idempotent,
    LoadSpec,
    Model,
    Move,
    NewVersion,
    Page,
    StoredVersion,
    Version,
)
from registry.catalog.registered_models import change_model, delete_model, get_model, list_models
from registry.catalog.rollback import plan_rollback, roll_back
from registry.catalog.sweeping import all_digests, referenced_digests, remove_deleted_versions, swept_candidates
from registry.catalog.versions import (
    add_version,
    change_version,
    delete_version,
    find_latest,
    get_load_spec,
    get_version,
    list_pinned,
    list_versions,
    note_load_error,
    restore_version,
    set_pinned,
)

__all__ = [
    "UNCHANGED",
    "Alias",
    "ApiKey",
    "Change",
    "CompileSpec",
    "Event",
    "Idempotent",
    "LoadSpec",
    "Model",
    "Move",
    "NewVersion",
    "Page",
    "StoredVersion",
    "Version",
    "add_key",
    "add_version",
    "alias_at",
    "all_digests",
    "begin_write",
    "change_key",
    "change_model",
    "change_version",
    "changes_since",
    "count_keys",
    "delete_alias",
    "delete_model",
    "delete_version",
    "find_compile_spec",
    "find_idempotent",
    "find_key",
    "find_latest",
    "generation",
    "get_alias",
    "get_key",
    "get_load_spec",
    "get_model",
    "get_version",
    "keep_idempotent",
    "list_aliases",
    "list_events",
    "list_keys",
    "list_models",
    "list_moves",
    "list_pending",
    "list_pinned",
    "list_versions",
    "note_compile_refused",
    "note_compiled",
    "note_load_error",
    "plan_rollback",
    "point_alias",
    "record_event",
    "referenced_digests",
    "remove_deleted_versions",
    "restore_version",
    "revoke_key",
    "roll_back",
    "rotate_key",
    "set_pinned",
    "swept_candidates",
]
