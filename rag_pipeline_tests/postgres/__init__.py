"""PostgreSQL with pgvector, a real server: what is published is delivered there, whole and to its readers."""
