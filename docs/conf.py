"""How Sphinx makes the documentation site from the pages beside this file: `make docs`."""

import sys
from pathlib import Path

from graftscope.client import client_version

sys.path.insert(0, str(Path(__file__).parents[1]))

project = "Graftscope"
author = "The Graftscope authors"
copyright = author
release = client_version()

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "tools.documents.markup",
    "tools.documents.names",
    "tools.documents.references",
    "tools.documents.verbs",
]
exclude_patterns = ["*.jinja"]

# Markdown. Headings down to the fourth level can be linked to, as on the pages of a repository.
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # a test runs the notebooks; the site shows what they printed

# The reference, from docstrings.
autodoc_default_options = {
    "members": True,
    "exclude-members": "BESIDE, FILES, IN_ARRAYS, OPTIONAL",  # how files are read and written
}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
add_module_names = False
default_role = "py:obj"  # a name in backquotes is a link where there is something to link to

# A page is whole: nothing is loaded from elsewhere, and the search runs in the browser.
html_theme = "furo"
html_title = "Graftscope"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/icon.svg"
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
