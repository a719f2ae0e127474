"""`python -m registry.cli`: the command line where the `modelyard` script isn't installed.

Tests and the demo start the service through it, so that they run the code beside them and no installed other.
"""

from modelyard.cli.main import main

main(prog_name="modelyard")
