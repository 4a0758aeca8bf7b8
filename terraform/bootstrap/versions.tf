terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 7.45, < 8"
    }
  }

  # The bucket is created before the first init and then managed here (see state.tf).
  backend "gcs" {
    prefix = "bootstrap"
  }
}

provider "google" {
  project = var.project_id
  region  = var.region

  # Some APIs, such as the one for budgets, reject user credentials without a quota project.
  user_project_override = true
  billing_project       = var.project_id
}
