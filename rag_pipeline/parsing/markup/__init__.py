"""Belongs here: text with marks: Markdown, reStructuredText, AsciiDoc, Org, LaTeX, plain text, cues.

Does not belong here: pages (`web/`) and files of records (`records/`).
"""
