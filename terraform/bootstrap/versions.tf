terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 7.45, < 8"
    }
  }

  # The bucket is made before the first init, and managed from then on (see state.tf).
  backend "gcs" {
    prefix = "bootstrap"
  }
}

provider "google" {
  project = var.project_id
  region  = var.region

  # Some APIs, the budgets' among them, refuse a person's own credentials unless a project's quota is named.
  user_project_override = true
  billing_project       = var.project_id
}
