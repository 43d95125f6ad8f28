"""What counts as a fault that a step may go around.

Belongs here: the classes, for `except` clauses.
Does not belong here: telling what storage raises apart (`stores/failures.py`).
"""

from __future__ import annotations

import polars as pl

# A library's panic is no Exception, nor is its wish to end the process; an interrupt passes.
FAULTS = (Exception, pl.exceptions.PanicException, SystemExit)
