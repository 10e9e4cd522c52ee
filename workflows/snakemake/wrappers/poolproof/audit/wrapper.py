"""Snakemake wrapper for poolproof audit."""

__author__ = "The poolproof developers"
__license__ = "MIT"

from shlex import quote

from snakemake.shell import shell

OPTIONAL_FILES = ("samples", "network", "regulators", "pairs", "config")

log = snakemake.log_fmt_shell(stdout=True, stderr=True)
extra = snakemake.params.get("extra", "")
memory = snakemake.resources.get("mem_mb")

expression = snakemake.input.get("expression", snakemake.input[0])
files = {name: snakemake.input.get(name) for name in OPTIONAL_FILES}
options = [f"--{name} {quote(path)}" for name, path in files.items() if path]
if memory:
    options.append(f"--memory {memory}M")

# --force: a folder is here where the rule runs again; a job that fails leaves none.
shell(
    "poolproof audit {expression:q} {options} {extra}"
    " --out {snakemake.output[0]:q} --force --threads {snakemake.threads} --quiet --json"
    " {log}"
)
