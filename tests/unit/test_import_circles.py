"""No file imports, over whatever others, itself: a reader can read each after those that it names, for types too."""

from graphlib import TopologicalSorter

import grimp
import pytest


@pytest.mark.parametrize("package", ["schemas", "projections", "refold"])
def test_no_file_of_a_package_is_in_a_circle_of_imports(package: str) -> None:
    graph = grimp.build_graph(package, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 10
    TopologicalSorter(imports).prepare()  # a CycleError names the circle
