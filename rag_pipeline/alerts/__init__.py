"""Telling the people on duty what is wrong: `tell` looks, remembers and sends.

Belongs here: the forms of messages, the sinks, one look from beginning to end.
Does not belong here: what follows from findings (`transforms/alerts.py`), reading Dagster's records (`defs/alerts.py`).
"""
