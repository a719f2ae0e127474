"""The console: pages for people who would rather look than read, under `/console`.

It reads the catalog and acts by the same functions as the REST API. It must never check less than the API does, and never
runs or loads anything that this service doesn't serve.
"""
