"""Tests of rag_pipeline, laid out like the package."""
