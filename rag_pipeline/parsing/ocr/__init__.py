"""Text recognition: what is a picture of text becomes text with its place and how sure the engine is.

Belongs here: the engine, reading order, files that are pictures. Does not belong here: which pages of a PDF need it
(`pdf/`).
"""
