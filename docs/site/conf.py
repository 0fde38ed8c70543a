"""The site: `make docs`. The source is the whole repository, so that its links are those of the pages."""

import os
import sys
from importlib import metadata

sys.path.insert(0, os.path.dirname(__file__))

project = "anneal_sgd"
author = "The anneal_sgd authors"
copyright = "2026, the anneal_sgd authors"
release = version = metadata.version("anneal_sgd")

extensions = [
    "myst_parser",
    "plain_math",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
]
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "bench/*.md",
    "tests/ptx/README.md",
    "csrc/README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
]
exclude_patterns = ["docs/site"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
nitpicky = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

default_role = "py:obj"  # `name` in a docstring links to it, where it is one
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "groupwise"

add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = "anneal_sgd"
html_math_renderer = "mathml"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_additional_pages = {"index": "to_landing_page.html"}
templates_path = ["templates"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {"docs/index": []}
html_theme_options = {
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "tango",
    "pygments_dark_style": "github-dark",
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
