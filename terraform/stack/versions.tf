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

  default_labels = local.labels
}
