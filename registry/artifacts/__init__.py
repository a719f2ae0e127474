"""The bytes of published versions, found by their digest, and the uploads on their way there.

Nothing here parses an artifact or knows the catalog.
"""
