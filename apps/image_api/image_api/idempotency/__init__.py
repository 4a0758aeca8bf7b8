"""Requests that may be sent again: the first answer under an `Idempotency-Key` is given a second time."""
