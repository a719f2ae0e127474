"""API keys, the caller's own key, and the audit trail: what their routes answer.

The example of a key is none: its secret is a row of zeros.
"""

from __future__ import annotations

from registry import errors
from registry.api import answers
from registry.api.openapi import examples
from registry.api.openapi.description import Operation, answer
from registry.api.openapi.examples import page

_KEY = answer(answers.Key, examples.KEY)
_WITH_SECRET = examples.KEY | {"key": f"my_{examples.KEY_ID}_{49 * '0'}"}
_MADE = answer(answers.MadeKey, _WITH_SECRET, "The key, this once.", status=201, headers=("Location", "Cache-Control"))
_STANDING = {"limit": "6000 per 1 minute", "amount": 6000, "remaining": 5999, "reset_seconds": 60}

OPERATIONS: dict[str, Operation] = {
    "keys.make_key": Operation(
        "keys",
        (_MADE,),
        examples={
            "predict": {"name": "shop", "scopes": ["predict"], "models": ["iris*"], "limits": ["600/minute", "20000/day"]},
            "publish": {"name": "training", "scopes": ["read", "publish"], "expires_at": "2099-01-01T00:00:00Z"},
        },
        note="A key that is bound to models, or expires, only makes keys that have no more than it has.",
    ),
    "keys.list_keys": Operation("keys", (answer(answers.KeyPage, page(examples.KEY)),)),
    "keys.get_key": Operation("keys", (_KEY,)),
    "keys.change_key": Operation("keys", (_KEY,), examples={"limits": {"limits": ["1000/minute"]}, "forever": {"expires_at": None}}),
    "keys.revoke_key": Operation("keys", (answer(answers.Key, examples.KEY | {"revoked_at": examples.AT}, "The key as it was revoked."),)),
    "keys.rotate_key": Operation("keys", (_MADE,), examples={"overlap": {"overlap_seconds": 3600}}),
    "keys.show_me": Operation("keys", (answer(answers.Me, examples.KEY | {"limits_left": [_STANDING]}),)),
    "events.list_events": Operation("events", (answer(answers.EventPage, page(examples.EVENT)),), (errors.ModelNotFound,)),
}
