terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 7.45, < 8"
    }
  }

  # The bucket is set in environments/*.gcs.tfbackend. Cloud Storage locks and versions the state.
  backend "gcs" {
    prefix = "stack"
  }
}

provider "google" {
  project = var.project_id
  region  = var.region

  # Some APIs, such as the one for budgets, reject user credentials without a quota project.
  user_project_override = true
  billing_project       = var.project_id

  default_labels = local.labels
}
