"""Decoders of payloads: bytes of many packs in, columns out."""


def warm_up() -> None:
    """Compile and run every decoder that the gateway asks at full speed once."""
    from anlan.perceive.decoders import json, senml, sparkplug

    for module in (json, senml, sparkplug):
        module.warm_up()
