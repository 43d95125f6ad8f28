"""The `web` kind: pages of a site as documents, by its sitemaps or by following links.

Belongs here: what a site lists, and what an answer means for a page.
Does not belong here: asking servers (`sources/http`), text out of pages (`parsing/web`).
"""
