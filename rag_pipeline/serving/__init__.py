"""Search over HTTP: the API, the page and the server for agents, each answering only what its caller may read.

Belongs here: who asks, requests and answers, limits, metrics.
Does not belong here: searching (`retrieval/`), writing answers (`answering/`), running the pipeline.
"""
