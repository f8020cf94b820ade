"""`python -m undiffuse` is the `undiffuse` command."""

from undiffuse.cli import main

main()
