"""Alembic's folder. Revisions are numbered, so that "at or beyond" can be told without reading them."""

HEAD = "0010"
"""The newest revision that this code knows and needs."""
