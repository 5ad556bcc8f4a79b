"""Strict HyperPyYAML: a YAML file read, checked, overridden and built, every mistake with its line."""

from speechkit.config.building import Built, build
from speechkit.config.checking import check
from speechkit.config.document import Document, find_placeholders, read
from speechkit.config.fingerprint import compare_trees
from speechkit.config.nodes import Problem
from speechkit.config.schema import Schema, brain_schema, find_prepare_file, find_train_file

__all__ = [
    "Built",
    "Document",
    "Problem",
    "Schema",
    "brain_schema",
    "build",
    "check",
    "compare_trees",
    "find_placeholders",
    "find_prepare_file",
    "find_train_file",
    "read",
]
