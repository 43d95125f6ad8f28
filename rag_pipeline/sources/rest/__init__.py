"""The `rest` kind: objects of any JSON API as documents, as YAML describes them.

Belongs here: reading values, walking pages until they are proven whole, and the source itself.
Does not belong here: asking a web server (`sources/http`), presets (`settings/sources/presets`).
"""
