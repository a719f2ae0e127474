"""The host process and what it starts: fork server, locked workers, Granian, Valkey.

Nothing here may be imported by the web side, and nothing here parses a byte of an upload outside a locked worker.
"""
