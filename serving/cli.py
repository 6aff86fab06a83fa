"""`recsys`: the command line, which composes everything.

A command's module is imported only when that command runs, so `recsys keys list` does not wait for
torch. Errors are one sentence on stderr: exit 2 for misuse, 1 for failure.
"""

from __future__ import annotations

import importlib
import sys

import click

from recsys.errors import Misuse, RecsysError

COMMANDS = {
    "demo": "the whole loop on a synthetic bank, end to end, then serves it",
    "serve": "the API (with --all: API, learner and encoder)",
    "learn": "the learner process",
    "encode": "the process that keeps customer vectors fresh",
    "train": "train and publish embeddings from the log",
    "catalogue": "load, check and publish the products",
    "experiments": "create, start, stop, list, read out",
    "keys": "create, list and revoke keys",
    "replay": "run a learner honestly over logged data",
    "verify-log": "recompute every draw and propensity in the log",
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"serving.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """What to show a bank's customer: hard rules, embeddings, a contextual bandit, honest evaluation.

    RECSYS_HOME (default ~/.recsys) holds everything an installation keeps.
    """


def main() -> None:
    """Run the command line; the console script `recsys`."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except RecsysError as error:
        click.echo(f"recsys: {error}", err=True)
        sys.exit(2 if isinstance(error, Misuse) else 1)


if __name__ == "__main__":
    main()
