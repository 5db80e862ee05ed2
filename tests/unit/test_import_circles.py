"""No file imports itself by way of others, and no two folders import each other: one can be read after another."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import TopologicalSorter

import grimp
import pytest

PACKAGES = ("schemas", "streams", "projections", "refold")

TWO_WAY: Mapping[tuple[str, str], str] = {
    ("schemas", "schemas.compiled"): "the codec stands beside the plain files, such as varints, that its folder reads",
    ("schemas", "schemas.events"): "ids and positions, which events are made of, stand beside what reads the events",
    ("refold", "refold.cli"): "__main__ begins the command line, which prints the version and the AsyncAPI document",
}
"""Folders that import each other, and why: in each case a package and a folder of its own."""


def imports_of(package: str) -> Mapping[str, set[str]]:
    """What each file of `package` imports of it, for types too."""
    graph = grimp.build_graph(package, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_of_a_package_is_in_a_circle_of_imports(package: str) -> None:
    imports = imports_of(package)
    assert len(imports) > 10
    TopologicalSorter(imports).prepare()  # a CycleError names the circle


def test_no_two_folders_import_each_other() -> None:
    pairs = set()
    for package in PACKAGES:
        imports = imports_of(package)
        folders = {package} | {module.rpartition(".")[0] for module in imports} - {""}
        of = {module: module if module in folders else module.rpartition(".")[0] for module in imports}
        pairs |= {(of[module], of[other]) for module, others in imports.items() for other in others}
    assert {(one, other) for one, other in pairs if one < other and (other, one) in pairs} == set(TWO_WAY)
