"""The `archive` kind: files in one ZIP or TAR file.

Belongs here: reading one archive as a folder.
Does not belong here: archives among other files of a source, whose members are parts (`parsing/containers/`).
"""
