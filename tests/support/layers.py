"""The contract of imports: import-linter's layers, exhaustive over several root packages."""

import grimp
from importlinter.contracts.layers import LayersContract


class RootLayers(LayersContract):
    """Layers in which every root package has a layer, or each of its children where one of them has.

    import-linter's own contracts allow that for one package only (`containers`).
    """

    type_name = "root_layers"

    def validate(self) -> None:
        """As layers, but exhaustive without containers."""
        exhaustive = self.exhaustive
        self.exhaustive = False  # type: ignore[assignment] # a field that import-linter fills in
        super().validate()
        self.exhaustive = exhaustive

    def _get_undeclared_modules(self, graph: grimp.ImportGraph, containers: set[str]) -> set[str]:
        if not self.exhaustive:
            return set()
        roots = set(self.session_options["root_packages"])
        declared = {tail.name for tail in self.all_module_tails}
        split = {root for root in roots if any(name.startswith(f"{root}.") for name in declared)}
        parts = (roots - split).union(*(graph.find_children(root) for root in split))
        return parts - declared
