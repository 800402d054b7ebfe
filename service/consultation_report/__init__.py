"""The report of a consultation: one HTML file that holds everything, in Arabic and English.

    render_report(clustering, texts, title, made_at) -> str

``page.html.jinja`` is its text, ``page.css`` its look, ``page.js`` its list, map and switches, ``wording.json`` its
words in both languages.
"""

from service.consultation_report.page import render_report

__all__ = ["render_report"]
