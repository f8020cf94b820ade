"""Recipes: YAML that ships with the package, and what turns its nodes into parts."""

from undiffuse.recipes.parts import RecipeError, parse
from undiffuse.recipes.reading import override, read, shipped, words_of
from undiffuse.recipes.recipe import Recipe, load_data

__all__ = ["Recipe", "RecipeError", "load_data", "override", "parse", "read", "shipped", "words_of"]
