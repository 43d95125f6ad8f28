"""Belongs here: archives of files, and the safe way to open them.

Does not belong here: what their members hold: the context parses them.
"""
