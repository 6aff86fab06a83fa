"""A recipe on the command line: FILE:NAME."""

from __future__ import annotations

from pathlib import Path

from bandits.recipe import Recipe, parse_recipes
from recsys.errors import InvalidConfiguration


def recipe_at(place: str) -> Recipe:
    """The recipe of that name in that file; raises `InvalidConfiguration` saying what is wrong."""
    file, _, name = place.rpartition(":")
    if not file:
        raise InvalidConfiguration(f'--recipe "{place}": write FILE:NAME, such as recipes.toml:bandit')
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfiguration(f"{file}: cannot be read ({type(error).__name__})") from None
    recipes = {recipe.name: recipe for recipe in parse_recipes(text, where=file)}
    if name not in recipes:
        raise InvalidConfiguration(f'{file}: no recipe is called "{name}"; there are {", ".join(recipes) or "none"}')
    return recipes[name]
