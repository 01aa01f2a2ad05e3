"""One file a connector; each is found by entry point and none can write to a device."""
