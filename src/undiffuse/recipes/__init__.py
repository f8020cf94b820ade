"""Recipes: YAML that ships with the package, and what turns its nodes into parts."""

from undiffuse.recipes.parts import RecipeError, parse
from undiffuse.recipes.reading import override, read, shipped
from undiffuse.recipes.recipe import Recipe, load_data, sampler_of

__all__ = ["Recipe", "RecipeError", "load_data", "override", "parse", "read", "sampler_of", "shipped"]
