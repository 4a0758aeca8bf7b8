"""Alembic's folder. Revisions are numbered, so that two of them can be compared without reading the files."""

HEAD = "0041"
"""The newest revision, which this code requires."""
