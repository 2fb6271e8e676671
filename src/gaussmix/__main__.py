"""`python -m gaussmix` is the command `gaussmix`."""

from gaussmix._src.cli import main

if __name__ == "__main__":
    main()
