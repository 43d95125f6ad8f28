"""Belongs here: HTML pages, EPUB books and storage formats made of HTML.

Does not belong here: HTML inside Markdown (`markup/`).
"""
