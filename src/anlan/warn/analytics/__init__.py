"""What recorded alarms teach: which floods are alike, which alarm was the root, which settings would ring less."""
