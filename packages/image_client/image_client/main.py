"""The command line. Other packages add commands through the entry point group `image_manager.commands`."""

from importlib.metadata import entry_points

import typer


def build() -> typer.Typer:
    """Return the command line with the commands of every installed package."""
    app = typer.Typer(
        name="image-manager",
        no_args_is_help=True,
        add_completion=False,
        help="Run image-manager on this machine, and manage API keys.",
    )

    # With a callback, a single command is still called by its name.
    @app.callback()
    def _root() -> None:
        pass

    for entry_point in sorted(entry_points(group="image_manager.commands"), key=lambda entry: entry.name):
        entry_point.load()(app)
    return app


def main() -> None:
    """Run the command line."""
    build()()


if __name__ == "__main__":
    main()
