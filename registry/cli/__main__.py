"""`python -m registry.cli`: the command line where the `modelyard` script isn't installed."""

from registry.cli.main import main

main()
