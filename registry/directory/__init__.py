"""What this process remembers of the catalog: selectors and keys, so that a predict request needs no SQL.

Nothing remembered outlives a change that this process may have heard of; how it hears is in `directory.py`. It never
writes to the catalog and knows no HTTP.
"""

from registry.directory.directory import CHANNEL, Directory, HeldMove
from registry.directory.resolved import Resolved
from registry.directory.word import SharedWord

__all__ = ["CHANNEL", "Directory", "HeldMove", "Resolved", "SharedWord"]
