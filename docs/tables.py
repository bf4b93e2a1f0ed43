"""Generated tables of the documents: ``make docs`` writes them, ``make check`` compares them."""

from polyvec.dialects._registry import find_dialects
from polyvec.models._registry import families


def dialect_table() -> str:
    """One row for each dialect: its routes and its page."""
    rows = ["| dialect | routes |", "|---|---|"]
    for dialect in find_dialects():
        routes = " · ".join(f"`{route.method} {route.path}`" for route in dialect.routes)
        rows.append(f"| [{dialect.name}](docs/dialects/{dialect.name}.md) | {routes} |")
    return "\n".join(rows) + "\n"


def model_table() -> str:
    """One row for each family: its architectures and aliases."""
    rows = ["| family | embeds | architectures in config.json | aliases |", "|---|---|---|---|"]
    for family in families():
        names = ", ".join(f"`{name}`" for name in family.architectures)
        aliases = ", ".join(f"`{alias}`" for alias in family.aliases)
        rows.append(
            f"| {family.name} | {', '.join(family.towers)} | {names} | {aliases or 'none'} |"
        )
    return "\n".join(rows) + "\n"
