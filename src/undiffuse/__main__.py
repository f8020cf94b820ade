"""`python -m undiffuse` is the `undiffuse` command."""

import sys


def main() -> None:
    """The command; Ctrl-C while it is being loaded is no error with a traceback either."""
    try:
        from undiffuse.processors import Moment

        begun = Moment()
        from undiffuse.cli import main as command
        from undiffuse.cli.threads import prepare

        prepare(begun, sys.argv[1:])
        command()
    except KeyboardInterrupt:
        print("undiffuse: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
