"""Sphinx settings; `make docs` builds with warnings as errors."""

from deepcaptcha import __version__

project = "deepcaptcha"
author = "the deepcaptcha developers"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"deepcaptcha {release}"
html_show_copyright = False
html_static_path = ["static"]
html_css_files = ["tables.css"]
nitpicky = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
