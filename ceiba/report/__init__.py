"""Report: a Report → a page and a card that a person wants to read.
Takes       the dict that evaluate made and a run added to.   Gives   HTML in one piece, a Markdown card.
May touch   metrics' catalog, base, jinja2.      Never   data, models, matplotlib, an address outside the page.
To add one  write the plot in plots.py, its part of the view in a section's file, its place in page.html.jinja."""

from ceiba.report.card import card
from ceiba.report.page import render_html

__all__ = ["card", "render_html"]
