"""The `feed` kind: entries of RSS and Atom feeds as documents.

Belongs here: what a feed lists, and what an answer means for an entry.
Does not belong here: asking servers (`sources/http`).
"""
