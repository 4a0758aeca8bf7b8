# Files that are analysed without being kept: whoever sent one may count on it that nothing of it stays.
resource "google_storage_bucket" "scratch" {
  #checkov:skip=CKV_GCP_78:An older version would outlive the analysis for which the file was sent.
  project       = var.project_id
  name          = "${var.name_prefix}-scratch"
  location      = var.location
  labels        = var.labels
  force_destroy = var.force_destroy

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = false
  }

  # Removed is gone: nothing here could be wanted back.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age        = 1
      with_state = "ANY"
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age        = 1
      with_state = "ANY"
    }
  }

  logging {
    log_bucket        = google_storage_bucket.access_logs.name
    log_object_prefix = "scratch"
  }

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [var.kms_key]

    content {
      default_kms_key_name = encryption.value
    }
  }
}
