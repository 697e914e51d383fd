# Two targets do everything on a machine that has python3 (with venv) and make:
#   make demo    train a capture of the built-in amp, and fine-tune a voice; both on one page,
#                runs/demo/report.html
#   make test    run the test suite, a few minutes
#   make quick   the part of it that answers within a minute
#   make test-slow  what takes longer: real trainings, killed processes, long compilations
#   make test-all   both, and the combinations that repeat what they show
PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= dev
BIN := $(VENV)/bin

PYTEST := $(BIN)/python -m pytest --numprocesses=auto --maxprocesses=8 --dist=loadfile --no-loadscope-reorder

# Files that compile next to nothing.
QUICK := $(wildcard tests/test_*.py) \
	$(patsubst %,tests/amps/test_%.py,a2_detector activations nam_reading native_activations slow_nam) \
	$(patsubst %,tests/audio/test_%.py,clips loudness_probe) \
	$(patsubst %,tests/data_pipeline/test_%.py,audio_files checks corpus corpus_layouts latency linear_prediction \
		standard_files synthetic_pair) \
	$(patsubst %,tests/experiments/test_%.py,capture_models join_reports listening main_flags options prepare settings studio \
		studio_jobs studio_sounds studio_start sweep words workdir) \
	$(patsubst %,tests/flows/test_%.py,denoiser squeeze) \
	$(patsubst %,tests/interop/test_%.py,files waveflow_import waveglow_import) \
	$(patsubst %,tests/training/test_%.py,lines matrices schedule warm_start)

.PHONY: demo test quick test-slow test-all lint clean

demo: $(VENV)/.installed
	$(BIN)/wf-jax train a2_capture:demo runs/demo/amp
	$(BIN)/wf-jax train voice:demo runs/demo/voice --init_from=kerstin
	$(BIN)/wf-jax report runs/demo/amp runs/demo/voice --out=runs/demo/report.html

test: $(VENV)/.installed
	$(PYTEST)

quick: $(VENV)/.installed
	$(PYTEST) --quiet $(QUICK)

test-slow: $(VENV)/.installed
	$(PYTEST) -m 'slow and not exhaustive'

test-all: $(VENV)/.installed
	$(PYTEST) -m 'exhaustive or not exhaustive'

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "wf_jax needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 demo")'
	@echo 'setting up $(VENV) (once; a minute or two)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

clean:
	rm -rf $(VENV) runs
