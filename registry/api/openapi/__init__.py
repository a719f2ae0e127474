"""The OpenAPI document: every route, what it takes, and everything that it can answer.

Paths, methods, scopes, queries and bodies are read off the application; the `of_` modules say the rest, one entry for each
route. Made when it is first asked for: nothing here may run for any other request.
"""

from registry.api.openapi.document import describe

__all__ = ["describe"]
