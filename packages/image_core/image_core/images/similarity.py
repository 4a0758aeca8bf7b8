"""What both services know of pictures that look alike."""

DESCRIPTOR_MODEL = "descriptor-1"
"""The colour-and-structure descriptor, which every image has; vectors of different models are never compared."""

DESCRIPTOR_DIMENSIONS = 96

MODEL_NAME = r"^[a-z0-9][a-z0-9._-]{0,99}$"
"""What the name of a model may be; names stand in SQL and in the names of indexes."""

MAX_VECTOR_DIMENSIONS = 4000
"""As many as an HNSW index over half-precision vectors takes."""

MAX_HASH_DISTANCE = 7
"""The most bits by which near-duplicates differ: of four bands of 16 bits, one then differs by a single bit at most."""
