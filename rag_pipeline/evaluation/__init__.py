"""Questions of evaluation that a program writes: which passages, which wording, and what is kept of it.

Belongs here: the sample, the kinds of question, their verification, and how diverse a set is.
Does not belong here: opening an index and writing files (`refresh/questions.py`), evaluating (`retrieval/evaluate.py`).
"""
