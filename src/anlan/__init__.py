"""Anlan (安澜): industrial safety from the instrument to the verdict.

The house is described in ``docs/architecture.md``; an import may only go down its floors.
"""

__version__ = "0.1.0"
