"""Belongs here: Word, PowerPoint, Excel, OpenDocument and RTF files.

Does not belong here: their predecessors of 1997 (`legacy/`).
"""
