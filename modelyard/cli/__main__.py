"""`python -m modelyard.cli`: the command line where the script `modelyard` isn't installed.

Holds nothing of its own.
"""

from modelyard.cli.main import main

main(prog_name="modelyard")
