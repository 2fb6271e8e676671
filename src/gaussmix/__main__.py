"""The entry point of `python -m gaussmix`, which runs the command `gaussmix`."""

from gaussmix._src.cli import main

if __name__ == "__main__":
    main()
