"""Belongs here: source code and notebooks.

Does not belong here: code blocks inside documents.
"""
