"""Belongs here: Word and PowerPoint files of 1997, and the container they share with other old formats.

Does not belong here: Excel files of that time, which `office/xlsx.py` reads through a library.
"""
