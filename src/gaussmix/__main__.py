"""`python -m gaussmix` is the command `gaussmix`."""

from gaussmix.cli import main

if __name__ == "__main__":
    main()
