terraform {
  required_version = ">= 1.11"

  required_providers {
    # Named although only the module uses it: a test hands its mock to nothing that does not ask for it.
    # tflint-ignore: terraform_unused_required_providers
    google = {
      source  = "hashicorp/google"
      version = ">= 7.45, < 8"
    }
  }
}
