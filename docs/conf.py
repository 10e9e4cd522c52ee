"""Settings of the documentation site, which ``make docs`` builds."""

from importlib.metadata import version as version_of

project = "poolproof"
author = copyright = "The poolproof developers"
version = release = version_of("poolproof")

extensions = ["myst_nb", "sphinx_copybutton", "sphinx_design"]

# The source folder is the checkout, not docs/: so the relative links of a page work on the site and where the
# code is hosted, also those to README.md, data/ and other places outside docs/.
root_doc = "docs/index"
include_patterns = [
    "*.md",
    "data/README.md",
    "src/poolproof/data/embedded/README.md",
    "docs/*.md",
    "docs/*/*.md",
]
exclude_patterns = [".*"]  # not to search .venv
nitpicky = True
smartquotes = False  # -- and ... stay what they are

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 6  # anchors as the code-hosting site makes them; a link to none is a warning

# docs/notebooks: run on the embedded data at every build, in a folder that is thrown away.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300  # seconds a cell
nb_merge_streams = True
nb_output_stderr = "error"  # a warning on a page is a fault

html_theme = "sphinx_book_theme"
html_title = "poolproof"
html_theme_options = {
    "footer_content_items": "copyright.html",
    "max_navbar_depth": 1,  # pages; their headings are in the list on the right
    "navbar_persistent": [],  # the search is in the sidebar
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_top"]  # a top page that leads to the landing page
html_use_index = False  # it would be empty: api.md is the index of names
html_copy_source = False

copybutton_prompt_text = ">>> |\\.\\.\\. |\\$ "
copybutton_prompt_is_regexp = True
