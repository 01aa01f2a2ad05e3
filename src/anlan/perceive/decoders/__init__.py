"""Decoders of payloads: bytes of many packs in, columns out."""


def warm_up() -> None:
    """Compile and run every decoder once."""
