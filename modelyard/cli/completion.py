"""`modelyard completion`: the script by which a shell completes commands, options, models and aliases.

Click's own, printed for the shell that is asked for; nothing is written anywhere.
"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

PROGRAM = "modelyard"
VARIABLE = "_MODELYARD_COMPLETE"
#: Bash would begin a new word at the @ of MODEL@ALIAS, and ask for completions of that alone.
ENDS = {"bash": "\nCOMP_WORDBREAKS=${COMP_WORDBREAKS//@}"}


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands in a shell.

    In bash, add this line to ~/.bashrc:  eval "$(modelyard completion bash)"

    In zsh, add this line to ~/.zshrc:  eval "$(modelyard completion zsh)"

    In fish:  modelyard completion fish > ~/.config/fish/completions/modelyard.fish

    Names of models and aliases are completed by asking the service of your profile.

    Example: modelyard completion bash
    """
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"This version of Click can't complete in {shell}.")
    click.echo(found(ctx.find_root().command, {}, PROGRAM, VARIABLE).source() + ENDS.get(shell, ""))
