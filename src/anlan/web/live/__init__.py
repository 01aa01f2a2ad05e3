"""The shared live frame: one hub a process makes one frame a second; every open page patches itself from it."""
