"""Pure decoders: bytes or text from a device to names, times, values and qualities; no I/O, no clock."""
