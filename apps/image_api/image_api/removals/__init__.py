"""Removal of teams and users as operations, which show how far it is."""
