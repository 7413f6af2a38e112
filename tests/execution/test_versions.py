"""Machines with other versions are told apart by name."""

from __future__ import annotations

import os
import sys

import numpy
import pytest
import torch

import ensemble_mammo
from ensemble_mammo.execution.versions import difference, versions


def test_the_versions_are_those_of_what_is_imported():
    found = versions()
    assert found["Python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert found["ensemble-mammo"] == ensemble_mammo.__version__
    assert (found["numpy"], found["torch"]) == (numpy.__version__, torch.__version__.partition("+")[0])


@pytest.mark.parametrize(
    ("name", "version"), [("ensemble-mammo", "0.0.1"), ("Python", "3.99"), ("pydicom", "none"), ("timm", "0.1")]
)
def test_the_first_that_differs_is_named_with_the_node(name, version):
    found = difference(versions() | {name: version})
    assert found == f"node {os.uname().nodename} has {name} {versions()[name]}, this command {version}"


def test_equal_versions_differ_in_nothing():
    assert difference(dict(versions())) == ""


def test_a_package_that_the_other_does_not_name_is_missing_there():
    theirs = {name: version for name, version in versions().items() if name != "numpy"}
    assert difference(theirs).endswith(f"has numpy {numpy.__version__}, this command none")
