"""Every registered name has an example, so that every law below is tried on it."""

import inspect

import pytest
from examples import DISTRIBUTIONS, GROUPS

from undiffuse.distributions import Columns, Correlated, Distribution, Rotated, Scored, Smoothed, Uniform

PRESETS = {"ddpm-cifar10", "ddpm-256"}  # a U-Net with a paper's arguments: tested by size and by its weights
PRESETS |= {"own"}  # the user's, which the package cannot make
PRESETS |= {"column-transformer"}  # of tables alone, whose laws are in tests/exact/test_exact_transformer.py
PRESETS |= {"mixed", "cells"}  # of rows of a table: exact/test_exact_tables.py


@pytest.mark.parametrize("group", GROUPS)
def test_every_name_has_an_example(group):
    registry, examples = GROUPS[group]
    assert set(examples) == set(registry) - PRESETS, f"add an example of each to examples.py ({group})"
    assert all(examples.values())


@pytest.mark.parametrize("group", sorted(set(GROUPS) - {"grids", "networks"}))
def test_examples_are_of_the_registered_class(group):
    registry, examples = GROUPS[group]
    for name, entry in registry.items():
        assert name in PRESETS or all(type(part) is entry for part in examples[name])


def test_every_distribution_has_an_example():
    joint = {Correlated, Rotated}  # not element by element: test_contract_correlated, test_contract_rotated
    alone = {Uniform, Smoothed}  # of no family: test_contract_uniform
    rows = {Columns, Scored}  # of tables: exact/test_exact_tables.py
    assert {type(p) for p in DISTRIBUTIONS} == concrete(Distribution) - joint - alone - rows


def concrete(kind: type) -> set[type]:
    """All subclasses of the package's own that can be made; tests may have others."""
    own = (each for each in kind.__subclasses__() if each.__module__.startswith("undiffuse."))
    found = set().union(*map(concrete, own))
    return found if inspect.isabstract(kind) else found | {kind}


@pytest.mark.parametrize("group", GROUPS)
def test_names_are_lower_case_words(group):
    for name, entry in GROUPS[group][0].items():
        assert name == name.lower() and "_" not in name
        assert inspect.getdoc(entry)
