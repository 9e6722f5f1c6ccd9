"""The command `worldvla`: one file a subcommand, and what an error looks like."""

import sys

import typer

from worldvla.cli import (
    audit,
    campaigns,
    doctor,
    export,
    import_,
    loop,
    quarantine,
    rematerialize,
    report,
    retain,
    retract,
    status,
    tonight,
)
from worldvla.cli.output import say
from worldvla.errors import EXIT_USER_ERROR, UserError

EXIT_INTERRUPTED = 130
LONGEST_MESSAGE = 2000

app = typer.Typer(
    name="worldvla",
    help="A video world model and a VLA policy that improve each other, every artifact a versioned asset.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(loop.loop)
app.command()(status.status)
app.command()(tonight.tonight)
app.command()(rematerialize.rematerialize)
app.command(context_settings=audit.CONTEXT_SETTINGS)(audit.audit)
app.command(context_settings=audit.CONTEXT_SETTINGS)(export.export)
app.command()(report.report)
app.command()(retract.retract)
app.command("import")(import_.import_)
app.command()(doctor.doctor)
app.add_typer(retain.app, name="retain")
app.add_typer(quarantine.app, name="quarantine")
app.command()(campaigns.campaigns)


def main() -> None:
    """Runs the command; a mistake of the user's is one line on standard error and exit status 2."""
    try:
        app()
    except (UserError, OSError) as error:
        from worldvla.lake.faults import in_words

        if (words := in_words(error)) is None:
            raise
        say(f"error: {_shortened(words)}")
        sys.exit(EXIT_USER_ERROR)
    except SystemExit as end:
        # Typer makes this of Ctrl-C, and says nothing.
        if end.code == EXIT_INTERRUPTED:
            say("stopped; the same command takes it up again")
        raise


def _shortened(message: str) -> str:
    """A message that repeats a value is only as useful as its beginning and its end."""
    if len(message) <= LONGEST_MESSAGE:
        return message
    half = LONGEST_MESSAGE // 2
    return f"{message[:half]} … {message[-half:]}"


if __name__ == "__main__":
    main()
