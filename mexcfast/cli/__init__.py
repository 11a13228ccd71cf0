"""The mexcfast command. Its libraries come with the extra `cli`."""

import sys


def main() -> None:
    """Entry point; says what to install when the extra is missing."""
    try:
        from mexcfast.cli.app import app
    except ModuleNotFoundError as missing:
        if missing.name not in ("rich", "typer", "click"):
            raise
        sys.exit(f"the mexcfast command needs {missing.name}: pip install 'mexcfast[cli]'")
    app()
