"""`python -m speechkit.cli`, where the command itself is not on the path."""

from speechkit.cli.command import main

if __name__ == "__main__":
    main()
