"""Constants of similarity search that both services share."""

DESCRIPTOR_MODEL = "descriptor-1"
"""The built-in descriptor of colours and structure, which every image has. Different models' vectors do not compare."""

DESCRIPTOR_DIMENSIONS = 96

MODEL_NAME = r"^[a-z0-9][a-z0-9._-]{0,99}$"
"""Pattern of a model's name, which appears in SQL and in the names of indexes."""

MAX_VECTOR_DIMENSIONS = 4000
"""The maximum for an HNSW index over half-precision vectors."""

MAX_HASH_DISTANCE = 7
"""Maximum number of differing bits of near-duplicates: one of the four 16-bit bands then differs by one bit at most."""
