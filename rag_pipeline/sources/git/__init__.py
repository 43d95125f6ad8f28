"""The `git` kind: files of a repository at one ref, read from its objects.

Belongs here: opening and fetching repositories, walking trees and history, owners, what is remembered of them.
Does not belong here: folders of files, checked-out repositories among them (`sources/local.py`).

Nothing is checked out. What is listed is of one commit, and what a file is, is its blob.
"""
