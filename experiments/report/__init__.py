"""Elements and style of the HTML reports."""
