resource "google_artifact_registry_repository" "this" {
  #checkov:skip=CKV_GCP_84:A customer-managed key is an option (kms_key), off by default.
  project       = var.project_id
  location      = var.region
  repository_id = var.repository_id
  description   = "Container images of the services."
  format        = "DOCKER"
  mode          = "STANDARD_REPOSITORY"
  labels        = var.labels
  kms_key_name  = var.kms_key

  docker_config {
    # A tag that was attested cannot be moved.
    immutable_tags = true
  }

  vulnerability_scanning_config {
    enablement_config = "INHERITED"
  }

  cleanup_policy_dry_run = false

  # Keep policies take precedence over the deletion of old versions.
  cleanup_policies {
    id     = "keep-newest"
    action = "KEEP"

    most_recent_versions {
      keep_count = var.cleanup.kept_versions
    }
  }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"

    condition {
      tag_state  = "ANY"
      older_than = "${var.cleanup.delete_after_days * 86400}s"
    }
  }
}
