"""`python -m agent` is `pagewarden`."""

from agent.cli import main

if __name__ == "__main__":
    main()
