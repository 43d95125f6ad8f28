"""Answers: a question, what its asker may read of it, and a model that cites what it was given.

Belongs here: prompt, citations, abstaining, what is kept of answers.
Does not belong here: finding (`retrieval/`), speaking to model servers (`endpoints/`), HTTP (`serving/`).
"""
