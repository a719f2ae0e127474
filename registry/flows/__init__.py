"""START READING HERE: one file per operation that touches more than one collaborator.

A flow names its collaborators as arguments, commits at most once, and knows no HTTP.
"""
