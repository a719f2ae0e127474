"""The server's commands: serve, demo, db, keys, sweep, verify, doctor. They join the command line `modelyard` as entry points.

Each prints for people, exits 0 when all is well, 1 when something is wrong and 2 when it was called wrongly.
Never prints a secret but a key that it has just made.
"""
