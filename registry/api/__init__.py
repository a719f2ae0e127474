"""HTTP only: authentication, limits, problems, representations, and one module per resource.

Nothing here decides about models; it reads a request, calls a flow or the catalog, and writes an answer.
"""
