"""The report of a consultation: one HTML file that holds everything, in Arabic and English.

    render_report(clustering, texts, title, made_at) -> str
    report_policy() -> str, the Content-Security-Policy under which it works

``page.html.jinja`` is its text, ``page.css`` its look, ``page.js`` its list, map and switches, ``wording.json`` its
words in both languages.
"""

from service.consultation_report.page import render_report, report_policy

__all__ = ["render_report", "report_policy"]
