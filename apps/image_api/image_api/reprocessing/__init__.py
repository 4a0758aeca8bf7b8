"""Processing failed images again, as an operation."""
