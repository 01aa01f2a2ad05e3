"""``python -m anlan``: the same as the command ``anlan``."""

from anlan.cli import main

if __name__ == "__main__":
    main()
