"""Embedding spaces, and the fastest way to fill them.

Belongs here: finding a model's files, naming its space, counting its tokens, computing its vectors.
Does not belong here: which texts need a vector (`refresh/`), or where vectors are stored (`stores/`).
Start at `open.py`. Nothing here imports torch before a torch model computes its first vector.
"""
