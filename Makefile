# formcheck: `make help` lists the targets. Needs only Python 3.11, make and git; uv is brought along.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
UV_VERSION := 0.13.9
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
RUN := $(UV) run --frozen
PYTHON311 := $(shell command -v python3.11 || command -v python3)
DATA := $(abspath $(or $(FORMCHECK_DATA),../shared/data))
OUT ?= out

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  \033[1m%-18s\033[0m %s\n", $$1, $$2}'

.tools/bin/uv:
	@$(PYTHON311) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "formcheck needs Python 3.11 (found $$($(PYTHON311) -V)); on Debian 12: apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON311) -m venv .tools && .tools/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.PHONY: setup
setup: $(UV) ## Install the locked Python environment and fetch the default pose network
	@$(UV) sync --frozen --quiet --inexact
	@$(RUN) python -m services.pose.adapters.models movenet > /dev/null

ifneq ($(UV),.tools/bin/uv)
$(UV): ;
endif

.PHONY: demo
demo: setup ## Analyse the demo clip into out/demo (report.json, report.html, annotated.mp4)
	@$(RUN) formcheck analyze assets/demo.mp4 --out $(OUT)/demo --truth assets/demo.json

.PHONY: up
up: setup ## Start everything on this machine (make up UP="--test-cameras 4"); Ctrl-C stops it
	@exec $(RUN) formcheck up $(UP)

.PHONY: test
test: setup ## Run all tests, the quick ones first
	@$(RUN) python -m services.pose.adapters.models > /dev/null
	@$(RUN) python -m services.local.stack.triton --fetch-only
	@$(RUN) python -c "from services.local.stack.kafka import ensure_jars; print(ensure_jars())"
	@$(RUN) pytest -n 2 --dist worksteal -q -m "not slow"
	@FORMCHECK_TEST_PATIENCE=$${FORMCHECK_TEST_PATIENCE:-3} $(RUN) pytest -n 2 --dist worksteal -q -m "slow and not stack"

.PHONY: test-stack
test-stack: setup ## Short fault runs and two minutes of soak on the whole stack
	@$(RUN) python -m services.pose.adapters.models > /dev/null
	@$(RUN) python -m services.local.stack.triton --fetch-only
	@FORMCHECK_TEST_PATIENCE=$${FORMCHECK_TEST_PATIENCE:-3} $(RUN) pytest -q -m stack

.PHONY: test-training
test-training: $(UV) ## Tests that need PyTorch (installs the training group, 4.5 GB)
	@$(RUN) --group training pytest -q tests/unit/test_segment_training.py tests/unit/test_errors_training.py

.PHONY: quick
quick: $(UV) ## Run the quick tests only
	@$(RUN) pytest -n 2 --dist worksteal -q -m "not slow"

.PHONY: check
check: $(UV) ## Format, lint, types, import rules, buf lint, quick tests
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .
	@$(RUN) mypy
	@$(RUN) lint-imports
	@$(RUN) buf lint proto
	@$(MAKE) --no-print-directory quick

.PHONY: format
format: $(UV) ## Format and mend what the linter can mend
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix .

.PHONY: proto
proto: $(UV) ## Generate gen/formcheck/v1 from proto/
	@$(RUN) python -m training.tools.generate_proto

.PHONY: demo-clip
demo-clip: $(UV) ## Render the demo clip anew (assets/demo.mp4, assets/demo.json)
	@$(RUN) python -m training.render.demo

.PHONY: train-segment
train-segment: $(UV) ## Train the segmentation network that is shipped (three stages, two hours on 2 cores)
	@$(RUN) --group training python -m training.segment.train --steps 6800 --seed 0 --batch 32 --renew 16 \
	  --out .cache/train/segment.onnx --checkpoint .cache/train/segment.pt
	@$(RUN) --group training python -m training.segment.train --steps 2600 --seed 1 --batch 32 --renew 8 --rate 0.0012 \
	  --start .cache/train/segment.pt --earlier .cache/train/segment.json \
	  --out .cache/train/second.onnx --checkpoint .cache/train/second.pt
	@$(RUN) --group training python -m training.segment.train --steps 3600 --seed 2 --batch 32 --renew 5 --rate 0.0015 \
	  --start .cache/train/second.pt --earlier .cache/train/second.json --out services/segment/models/segment.onnx

.PHONY: bench-pose
bench-pose: setup ## Pose networks: OKS-AP and recall on COCO people, steadiness on the clips, crops/s
	@$(RUN) python -m services.pose.adapters.models > /dev/null
	@$(RUN) python -m bench.pose

.PHONY: bench-triton
bench-triton: setup ## Pose inference in process against a real Triton
	@$(RUN) python -m bench.triton

.PHONY: bench-stages
bench-stages: setup ## segment and errors behind a real Kafka: CPU per message, CPU when idle
	@$(RUN) python -m bench.stages

.PHONY: bench-decode
bench-decode: $(UV) ## Decoding against raw PyAV
	@$(RUN) python -m bench.decode

.PHONY: bench-analyze
bench-analyze: setup ## End-to-end speed against mediapipe's Pose solution, per clip
	@$(RUN) python -m bench.analyze

.PHONY: bench-memory
bench-memory: setup ## Peak memory on an hour of 1080p
	@$(RUN) python -m bench.memory

.PHONY: faults
faults: setup ## Faults on a real stack (3 brokers, Triton, 4 streams), judged by invariants, recovery times
	@$(RUN) python -m bench.faults --json $(OUT)/faults.json

MINUTES ?= 5
SEED ?= 0
.PHONY: chaos
chaos: setup ## Seeded chaos on a real stack, judged by the same invariants (MINUTES=5 SEED=0)
	@$(RUN) python -m bench.chaos --minutes $(MINUTES) --seed $(SEED) --json $(OUT)/chaos.json

.PHONY: bench-streams
bench-streams: setup ## Cameras sustained, latency per stage, CPU per stream, efficiency (CASES=360p-1,720p-1,360p-4,720p-4)
	@$(RUN) python -m bench.streams --json $(OUT)/streams.json $(if $(CASES),--only $(CASES))

.PHONY: soak
soak: MINUTES = 30
soak: setup ## Streams come and go: memory, threads, files and lag must stay flat (MINUTES=30)
	@$(RUN) python -m bench.soak --minutes $(MINUTES) --json $(OUT)/soak.json

.PHONY: scoreboard
scoreboard: setup ## Every data set × method in one table, with intervals and targets, into out/scoreboard
	@$(RUN) python -m bench.scoreboard --out $(OUT)/scoreboard $(SCOREBOARD)

.PHONY: bench-simulated
bench-simulated: $(UV) ## Fresh simulated clips: counts, boundaries, exercise, planted mistakes
	@$(RUN) python -m bench.simulated

.PHONY: bench-clips
bench-clips: setup ## True and found repetitions on the real clips (needs ../shared/data)
	@$(RUN) python -m bench.score_clips

.PHONY: bench-sequences
bench-sequences: $(UV) ## The same on pose sequences (needs ../shared/data)
	@$(RUN) python -m bench.score_sequences

.PHONY: same-answer
same-answer: setup ## Every clip through Kafka and Triton against analyze --frame-codec jpeg
	@$(RUN) python -m bench.same_answer $(SAME)

.PHONY: bench-rendered
bench-rendered: setup ## Rendered clips: counts, boundaries, planted mistakes
	@$(RUN) python -m bench.rendered

.PHONY: bench-scenes
bench-scenes: setup ## Rendered gym scenes: IDF1, identity switches, each person's count
	@$(RUN) python -m bench.scenes

.PHONY: clean
clean: ## Remove what can be made again
	@rm -rf out .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
