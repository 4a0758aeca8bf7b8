"""When and where a photograph was taken, from the facts of its file."""
