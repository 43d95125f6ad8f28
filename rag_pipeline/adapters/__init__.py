"""Retrievers for the frameworks that applications are built in: each is our Searcher in that framework's clothes.

Belongs here: one module for each framework, an extra each; who asks is said when one is opened.
Does not belong here: searching (`retrieval/`).
"""
