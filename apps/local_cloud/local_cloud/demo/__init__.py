"""A demo team: pictures made by code, with dates, places and texts of our invention, uploaded as a client does."""
