"""Lets `python -m rag_pipeline.cli` stand for `rag-pipeline`."""

from __future__ import annotations

from rag_pipeline.cli import main

main()
