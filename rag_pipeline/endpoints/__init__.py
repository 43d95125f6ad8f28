"""Model servers that speak OpenAI's protocol: one client for all of them.

Belongs here: keys, pace, retries, timeouts, what a refusal means, and what a request costs.
Does not belong here: what is asked (embeddings in `embedding/`), or other protocols.
"""
