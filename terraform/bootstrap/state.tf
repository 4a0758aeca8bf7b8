# Created by scripts/infra/bootstrap.py before the first init, because a state cannot be stored in a bucket that it creates.
resource "google_storage_bucket" "state" {
  #checkov:skip=CKV_GCP_62:Reads and writes of the state are in the audit log; a bucket for access logs would have to exist before any state.
  project       = var.project_id
  name          = var.state_bucket_name
  location      = upper(var.region)
  force_destroy = false

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = true
  }

  soft_delete_policy {
    retention_duration_seconds = 2592000
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      num_newer_versions         = 50
      days_since_noncurrent_time = 90
      with_state                 = "ARCHIVED"
    }
  }

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_project_service.this]
}
