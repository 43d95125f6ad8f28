"""Belongs here: PDF files: text, order, tables, running heads, outlines.

Does not belong here: recognising text in pictures.
"""
