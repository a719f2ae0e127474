"""The documentation site: pages, how Sphinx builds them (`conf.py`), and what the code writes into them (`made/`)."""
