"""Options of a command → its help, in groups and as wide as the terminal."""

from __future__ import annotations

from typing import Any

import typer.core

# Widest line of help that is read with ease.
WIDEST = 110
_LAST = "Other options"


class GroupedCommand(typer.core.TyperCommand):
    """A command whose options are listed in the groups that `rich_help_panel` names."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - Typer's own types
        """Parse arguments, after an option whose value is optional was given its value.

        The metavar of such an option begins with `[=`: its value follows `=`, never a space.
        """
        optional = {
            name: metavar[len("[=") : -1].split("|")[0]
            for parameter in self.params
            if (metavar := parameter.metavar or "").startswith("[=")
            for name in parameter.opts
        }
        end = args.index("--") if "--" in args else len(args)
        ahead = [f"{one}={optional[one]}" if one in optional else one for one in args[:end]]
        return super().parse_args(ctx, ahead + args[end:])

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - Typer's own types
        """Write the arguments, then each group of options."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            is_argument = parameter.param_type_name == "argument"
            panel = getattr(parameter, "rich_help_panel", None)
            group = "Arguments" if is_argument else panel or "Options"
            groups.setdefault(group, []).append(record)
        if len(groups) > 2 and "Options" in groups:  # noqa: PLR2004 - arguments and options
            groups[_LAST] = groups.pop("Options")
        for name, records in groups.items():
            with formatter.section(name):
                formatter.write_dl(records)
