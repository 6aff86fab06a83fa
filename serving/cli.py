"""`recsys`: the command line, which composes everything.

A command's module is imported only when that command runs, so `recsys keys list` does not wait for
torch. Errors are one sentence on stderr: exit 2 for misuse, 1 for failure.
"""

from __future__ import annotations

import difflib
import importlib
import keyword
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from recsys.errors import Misuse, RecsysError

COMMANDS = {
    "demo": "the whole loop on a synthetic bank, end to end, then serves it",
    "serve": "the API (with --all: API, learner and encoder)",
    "learn": "the learner process",
    "encode": "the process that keeps customer vectors fresh",
    "train": "train and publish embeddings from the log",
    "import": "a bank's own tables, checked whole and then taken in",
    "catalogue": "load, check and publish the products",
    "rules": "check the rule pack, explain a verdict, compare two packs",
    "experiments": "create, start, stop, list, read out",
    "switches": "turn things off at once, and on again",
    "overrides": "pin, ban and boost products for a while",
    "keys": "create, list, rotate and revoke keys",
    "quarantine": "what may not teach: look at it, release it, drop it",
    "trail": "who did what to this installation, and when",
    "dataset": "a part of the log as tables: create, list, show",
    "evaluate": "judge policies from the log, or say why it cannot",
    "export": "the log as daily Parquet, for SQL in a warehouse",
    "compact": "move old decisions from the database to Parquet",
    "erase": "forget a customer in every store, with a receipt",
    "evidence": "what the law keeps of promotions to the forgotten",
    "promote": "the gate: a challenger, or reasons; --rollback",
    "recommend": "--batch: one message for every customer, once each",
    "features": "what a policy may see; as definitions for Feast",
    "replay": "run a learner honestly over logged data",
    "simulate": "learners, explorations and rewards in synthetic banks",
    "bank": "make a synthetic bank: tables, base rates, pictures",
    "watch": "what moved from day to day: drift, shares, rewards, stale facts",
    "verify-log": "recompute every draw and propensity in the log",
}


def module_of(command: str) -> str:
    """The module that holds a command; one named by a word of Python's has an underscore behind it."""
    return f"serving.commands.{command.replace('-', '_')}{'_' if keyword.iskeyword(command) else ''}"


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            near = difflib.get_close_matches(cmd_name, COMMANDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
            raise click.UsageError(f'no command is called "{cmd_name}": {hint}', ctx)
        module = importlib.import_module(module_of(cmd_name))
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


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit; the console script `recsys`. None reads the process's arguments.

    numpy's products here are small, and threads that share one wait for each other: 400 rounds of a table with 26
    labels took 18 and 20 s on a busy machine of two cores, and 1.2 and 1.6 s with one thread. One thread also gives
    the same last bit everywhere. Whoever sets the variable is obeyed.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy is imported, which no line above does
    try:
        code = cli.main(args=arguments, prog_name="recsys", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        _end(_sentence(error), code=2)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except RecsysError as error:
        _end(str(error), code=2 if isinstance(error, Misuse) else 1)
    except OSError as error:
        _end(f"{error.filename or 'the system refuses'}: {error.strerror or type(error).__name__}", code=1)
    sys.exit(code if isinstance(code, int) else 0)  # click answers --help with its code


def _end(sentence: str, *, code: int) -> NoReturn:
    click.echo(f"recsys: {sentence}", err=True)
    sys.exit(code)


def _sentence(error: click.ClickException) -> str:
    said = " ".join(error.format_message().split()).rstrip(".")
    where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "recsys"
    return f"{said} ({where} --help tells more)"


if __name__ == "__main__":
    main()
