"""Boolean models in the format of PyBoolNet and BoolNet: ``target, rule``, one a line."""

from __future__ import annotations

from ..._checks import InputError, printable
from ..feedback import Network
from .boolean import Rule, boolean_genes, input_mechanism, parse_rule

HEADER = "targets"


def read_bnet(text: str, file: str) -> Network:
    """Genes of a Boolean model; inputs, and all genes at the start, are on with a probability of a half.

    Raises
    ------
    InputError
        A line that cannot be read, with its number.

    Examples
    --------
    >>> genes = read_bnet("targets, factors\\nX, A & !B\\n", "model.bnet").genes
    >>> list(genes), genes["X"].parents
    (['X', 'A', 'B'], ('A', 'B'))
    """
    rules: list[tuple[str, Rule, str]] = []
    lines_of: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.split("#")[0].rstrip()
        if not content.strip() or (not rules and content.split(",")[0].strip().lower() == HEADER):
            continue
        where = f"{file} line {number}"
        before, comma, rule = content.partition(",")
        name = before.strip()
        if not comma or not name or not rule.strip():
            raise InputError(f"{where}: expected 'gene, rule'; found {printable(content, 60)!r}")
        if name in lines_of:
            shown = printable(name, 40)
            raise InputError(f"{where}: {shown} has a rule already, in line {lines_of[name]}")
        lines_of[name] = number
        in_place = " " * len(f"{before},") + rule  # so that columns are those of the line
        rules.append((name, parse_rule(in_place, where), where))
    if not rules:
        raise InputError(f"{file}: no rule in the file; expected lines such as 'X, A & !B'")
    genes = boolean_genes(rules)
    return Network(genes, start={gene: input_mechanism() for gene, one in genes.items() if one.parents})
