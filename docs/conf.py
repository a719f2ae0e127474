"""How Sphinx builds the documentation site: `make docs`, strict, nothing loaded from another host.

Pages are Markdown (MyST). What the code knows better than a writer is put in by `docs/made` while they are read. Must never need a network.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from modelyard import __version__

logging.getLogger().addHandler(logging.NullHandler())  # else a theme's package would set up logging for everything that is imported

project = "Modelyard"
author = "The Modelyard authors"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton", "docs.made"]
exclude_patterns = ["made"]
suppress_warnings = ["misc.highlighting_failure"]  # `…` stands for what was left out, also in JSON

nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!modelyard).*")]  # only what is documented here can be linked to: no other site is asked

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
default_role = "code"  # docstrings are written with single backticks
add_module_names = False
autodoc_class_signature = "mixed"
maximum_signature_line_length = 100

copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True

smartquotes = False  # two hyphens begin an option

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = "Modelyard"
html_baseurl = "https://modelyard.dev/"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = html_use_index = html_domain_indices = False
html_show_copyright = False
