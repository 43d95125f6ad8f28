"""Belongs here: files of fields: JSON, YAML, TOML, INI, CSV, XML.

Does not belong here: spreadsheets (`office/`).
"""
