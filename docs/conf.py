"""How Sphinx makes the site: ``make docs``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import site_pages
from pygments.lexers.special import TextLexer
from sphinx.highlighting import lexers

import landsat_downsample as ld

project = "landsat-downsample"
author = "The landsat-downsample developers"
copyright = author
release = version = ld.__version__
root_doc = "index"
exclude_patterns = ["_build", "_templates"]
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
    "sphinx_design",
    "sphinx_copybutton",
]

html_theme = "pydata_sphinx_theme"
html_title = "landsat-downsample"
html_static_path = ["_static"]
templates_path = ["_templates"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "github_url": site_pages.REPOSITORY,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}

# A diagram as its text: what draws it in a browser would come from elsewhere.
lexers["mermaid"] = TextLexer()

# Links to headings work as they do on the pages of the repository.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

# Notebooks are executed, each in a folder of its own; what is unchanged comes from the cache.
nb_execution_mode = "cache"
nb_execution_cache_path = str(Path(__file__).resolve().parent / "_build" / "notebooks")
nb_execution_in_temp = True
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_merge_streams = True

# `name` in a docstring leads to that name; -- is the beginning of an option, no dash.
default_role = "py:obj"
smartquotes_action = "qe"
toc_object_entries_show_parents = "hide"
autosummary_generate = True
autodoc_typehints = "none"  # the parameters' sections say types in words
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
# Examples show how scenes look in a shell; the prompt is not copied.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def setup(app):
    """Make the pages that have their source elsewhere; lead links of pages to where the site has what they mean."""
    site_pages.make(Path(app.srcdir))
    app.connect("source-read", site_pages.lead_links)
