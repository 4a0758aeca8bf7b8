terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 7.45, < 8"
    }
  }

  # The bucket comes from environments/*.gcs.tfbackend; Cloud Storage locks and versions the state.
  backend "gcs" {
    prefix = "stack"
  }
}

provider "google" {
  project = var.project_id
  region  = var.region

  # Some APIs, the budgets' among them, refuse a person's own credentials unless a project's quota is named.
  user_project_override = true
  billing_project       = var.project_id

  default_labels = local.labels
}
