terraform {
  required_version = ">= 1.11"

  required_providers {
    # Declared although only the module uses it: tests pass mocks only to configurations that require the provider.
    # tflint-ignore: terraform_unused_required_providers
    google = {
      source  = "hashicorp/google"
      version = ">= 7.45, < 8"
    }
  }
}
