"""The command line `modelyard`: for people a table, for programs `--json`, and exit codes that scripts can rely on.

Every command goes through `modelyard.Client`; none speaks HTTP by itself, and none prints a key but one that was just made.
"""
