# Works with GNU Make 3.81 (macOS) and newer. Needs Python 3.11 or newer; nothing else set up.
#   make demo                  audit the two embedded data sets
#   make test                  the whole test suite
#   make test-fast             what takes under a minute of it
#   make docs                  the documentation as a site
#   make PYTHON=/path/to/python3.12 test     choose the interpreter yourself
.PHONY: demo test test-fast lint docs bench bench-large clean
.DELETE_ON_ERROR:

PYTHON =
PYTEST_ARGS = -n 2 --dist worksteal

# Run, not looked up: a version manager may put names on PATH that fail when they are run.
usable = -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
help = install Python 3.11 or newer with its venv module (Debian, Ubuntu: apt install python3-venv; \
macOS: brew install python), or run: make PYTHON=/path/to/python
pip_install = .venv/bin/python -m pip install --quiet --disable-pip-version-check

demo: .venv/installed
	.venv/bin/poolproof audit dataset:sc_mixology_10x_3lines --out demo-report --force
	.venv/bin/poolproof audit dataset:bulk_saureus_imodulon --out demo-report-bulk --force
	@printf '\nSingle cells: %s\nBulk:         %s\n' "$(CURDIR)/demo-report/report.html" "$(CURDIR)/demo-report-bulk/report.html"

# One thread for linear algebra in each of the parallel workers.
test: .venv/installed-test
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 .venv/bin/python -m pytest $(PYTEST_ARGS)

# What takes under a minute: laws, kernels and rooms, without processes, pictures and calibration.
FAST = tests/hall/test_aggregation.py tests/hall/test_basis.py tests/hall/test_checks.py tests/hall/test_notebook.py \
	tests/models/test_expressions.py tests/models/test_laws.py tests/models/test_mechanisms.py \
	tests/triples/test_partial.py tests/triples/test_gram.py tests/triples/test_citest.py \
	tests/theory/test_witness.py tests/theory/test_one_edge.py tests/theory/test_separations.py \
	tests/verdict/test_decision.py tests/pairs/test_score_engine.py tests/pairs/test_calls.py tests/pairs/test_design.py \
	tests/pairs/test_count_engine.py tests/pairs/test_tally.py tests/data/test_networks.py tests/data/test_samples.py

test-fast: .venv/installed-test
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 .venv/bin/python -m pytest -q $(PYTEST_ARGS) -m "not calibration" $(FAST)

lint: .venv/installed-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache
	.venv/bin/hadolint containers/Dockerfile

# The quick checks of the pages, then the site. It is built anew: Sphinx repeats no warning of an unchanged page.
docs: .venv/installed-docs .venv/installed-test
	.venv/bin/python -m pytest -q tests/project/test_docs_reference.py tests/project/test_docs_site.py
	rm -rf docs/_build
	.venv/bin/sphinx-build -q -W --keep-going -c docs -d docs/_build/doctrees . docs/_build/html
	@printf '\nDocumentation: %s\n' "$(CURDIR)/docs/_build/html/index.html"

bench: .venv/installed-test
	@for script in benchmarks/bench_pairs.py benchmarks/bench_others.py; do \
	    echo "== $$script"; .venv/bin/python "$$script" || exit 1; \
	done

# 20,000 genes: about 10 minutes and 4 GiB.
bench-large: .venv/installed-test
	.venv/bin/python benchmarks/bench_large.py

clean:
	rm -rf .venv demo-report demo-report-bulk docs/_build build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache

.venv/bin/python:
	@rm -rf .venv; \
	for python in $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3); do \
	    if "$$python" $(usable); then \
	        echo "creating .venv with $$python"; \
	        "$$python" -m venv .venv && exit 0; \
	        rm -rf .venv; exit 1; \
	    fi; \
	done; \
	echo 'poolproof: $(if $(PYTHON),PYTHON=$(PYTHON) is not usable,no usable Python found): $(help)' >&2; \
	exit 1

.venv/installed: .venv/bin/python pyproject.toml
	$(pip_install) -e .
	@touch $@

.venv/installed-%: .venv/bin/python pyproject.toml
	$(pip_install) -e '.[$*]'
	@touch $@
