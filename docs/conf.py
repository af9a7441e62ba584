"""How Sphinx makes the book: script/docs."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extension"))

project = "rtb"
author = "the rtb contributors"
project_copyright = "the rtb contributors, MIT license"
release = version = version_of("rtb")

extensions = ["myst_parser", "rtb_reference"]
exclude_patterns = ["_extension"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# Quotes and dashes are parts of commands: they stay as they are written.
smartquotes = False

html_theme = "furo"
html_title = "Red-Tailed Boa Broadcast"
html_static_path = ["_static"]
html_css_files = ["book.css"]
# Nothing is loaded from elsewhere: the pages work without a network.
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "monokai"
nitpicky = True
