# Targets for the cloud. The workflows use the same ones.
ENV ?= dev
REGION ?= europe-west1
TFLINT_VERSION := v0.64.0
# Use tflint from the PATH, or build it with Go, which takes some minutes the first time.
TFLINT := $(shell command -v tflint 2>/dev/null || echo .local/tools/tflint-$(TFLINT_VERSION))

.PHONY: bootstrap
bootstrap: uv ## create a running system in an empty project: make bootstrap PROJECT=… REPO=owner/name [EMAIL=…] [ENV=dev]
	@$(RUN) python -m scripts.infra.bootstrap "$(PROJECT)" "$(REPO)" --environment "$(ENV)" --region "$(REGION)" --notification-email "$(EMAIL)"

.PHONY: plan
plan: uv ## show what an apply would change: make plan ENV=dev
	@$(RUN) python -m scripts.infra.stack plan "$(ENV)" $(ARGS)

.PHONY: apply
apply: uv ## apply the configuration: make apply ENV=dev
	@$(RUN) python -m scripts.infra.stack apply "$(ENV)" $(ARGS)

.PHONY: destroy
destroy: uv ## remove everything (dev only): make destroy ENV=dev
	@$(RUN) python -m scripts.infra.stack destroy "$(ENV)" $(ARGS)

.PHONY: adopt-database
adopt-database: uv ## after a restore, manage the instance named by database.name_suffix: make adopt-database ENV=prod
	@$(RUN) python -m scripts.infra.stack adopt-database "$(ENV)" $(ARGS)

.PHONY: redrive
redrive: uv ## list open dead letters, or publish them again: IMAGE_MANAGER_URL=… IMAGE_MANAGER_KEY=… make redrive [ARGS=--send]
	@$(RUN) python -m scripts.infra.redrive $(ARGS)

.PHONY: doctor
doctor: uv ## list everything that would make a bootstrap fail: make doctor PROJECT=… [REPO=owner/name] [ENV=dev]
	@$(RUN) python -m scripts.infra.doctor "$(PROJECT)" --region "$(REGION)" --environment "$(ENV)" --repository "$(REPO)"

.local/tools/tflint-$(TFLINT_VERSION):
	@command -v go >/dev/null || { echo "Install tflint, or Go to build it."; exit 1; }
	@mkdir -p $(@D)
	@GOBIN="$(CURDIR)/$(@D)" go install github.com/terraform-linters/tflint@$(TFLINT_VERSION)
	@mv $(@D)/tflint $@

.PHONY: infra-check
infra-check: uv $(TFLINT) ## check Terraform: format, validity, tests, lint, policies, generated docs
	@TFLINT="$(abspath $(TFLINT))" $(RUN) python -m scripts.infra.terraform_checks all
	@$(RUN) python -m scripts.infra.generate_docs --check

.PHONY: infra-faults
infra-faults: uv ## plant faults in a copy of the configuration and check that a test catches each
	@$(RUN) python -m scripts.infra.plant_faults $(ARGS)

.PHONY: terraform-lock
terraform-lock: ## write the provider lock files for Linux and macOS on amd64 and arm64
	@for folder in bootstrap stack; do \
	  terraform -chdir=terraform/$$folder providers lock -platform=linux_amd64 -platform=linux_arm64 \
	    -platform=darwin_amd64 -platform=darwin_arm64 || exit 1; \
	done
	@git status --short -- 'terraform/*/.terraform.lock.hcl'

.PHONY: infra-docs
infra-docs: uv ## generate the docs that derive from the configuration
	@$(RUN) python -m scripts.infra.generate_docs
