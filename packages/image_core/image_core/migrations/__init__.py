"""Alembic's folder. Revisions are numbered, so that two of them can be compared without reading the files."""

HEAD = "0040"
"""The newest revision, which this code requires."""
