"""`python -m ensemble_mammo`: the command line."""

from ensemble_mammo.cli import main

if __name__ == "__main__":
    main()
