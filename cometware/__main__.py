"""`python -m cometware`: the same as the command `cometware`."""

from cometware.cli import main

if __name__ == "__main__":
    main()
