"""How Sphinx makes the book: `cargo xtask book` runs it on a copy of the lessons."""

project = "Parallel computing in Rust"
html_title = project
author = "the authors of the course"
extensions = ["myst_nb"]
# The lessons bear their outputs already; `cargo xtask notebooks` makes those.
nb_execution_mode = "off"
exclude_patterns = ["**/.ipynb_checkpoints"]
# `:dep` in a first cell is a command of the kernel, which no colouring of Rust knows.
suppress_warnings = ["misc.highlighting_failure"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["book.css"]
templates_path = ["_templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "api.html",
        "sidebar/scroll-end.html",
    ]
}
# The documentation of the crate, made by cargo.
html_extra_path = ["_extra"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
