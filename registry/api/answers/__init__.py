"""The shapes of what the service answers, as types: checked where answers are made, and described from here as OpenAPI.

Types alone: nothing here runs for a request, and nothing may be described that isn't answered.
"""

from registry.api.answers.aliases import Alias, AliasList, Event, EventPage, Move, MovePage, RolledBack
from registry.api.answers.fields import Health, Runtime
from registry.api.answers.keys import Key, KeyPage, LimitStanding, MadeKey, Me
from registry.api.answers.serving import Live, Loaded, LoadedVersion, Parts, Pinned, Prediction, Ready, Serving, Unloaded, Walls
from registry.api.answers.versions import (
    Artifact,
    Column,
    Golden,
    Model,
    ModelPage,
    Output,
    PublishedVersion,
    Signature,
    Skew,
    UploadAccepted,
    UploadLimits,
    Version,
    VersionPage,
)

__all__ = [
    "Alias",
    "AliasList",
    "Artifact",
    "Column",
    "Event",
    "EventPage",
    "Golden",
    "Health",
    "Key",
    "KeyPage",
    "LimitStanding",
    "Live",
    "Loaded",
    "LoadedVersion",
    "MadeKey",
    "Me",
    "Model",
    "ModelPage",
    "Move",
    "MovePage",
    "Output",
    "Parts",
    "Pinned",
    "Prediction",
    "PublishedVersion",
    "Ready",
    "RolledBack",
    "Runtime",
    "Serving",
    "Signature",
    "Skew",
    "Unloaded",
    "UploadAccepted",
    "UploadLimits",
    "Version",
    "VersionPage",
    "Walls",
]
