"""The web processes' side of serving: sockets to the host process and to workers, and the prediction cache.

Never loads a model and never imports what could: bytes go in, bytes come out.
"""
