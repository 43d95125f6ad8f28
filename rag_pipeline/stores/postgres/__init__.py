"""PostgreSQL with pgvector, as a place that what is published is delivered to.

Belongs here: its tables, rights and functions (`schema.py`), the search in SQL (`search.py`), rows as the server takes
them in (`rows.py`), one delivery (`delivery.py`).
Does not belong here: when it is delivered, and what happens if the server is down (`refresh/deliver.py`).
"""
