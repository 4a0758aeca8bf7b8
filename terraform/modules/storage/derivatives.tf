# Derivatives can be made again from their originals, so replaced and removed ones are not kept.
resource "google_storage_bucket" "derivatives" {
  #checkov:skip=CKV_GCP_78:Older versions would cost money, and can be made again.
  project       = var.project_id
  name          = "${var.name_prefix}-derivatives"
  location      = var.location
  labels        = var.labels
  force_destroy = var.force_destroy

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = false
  }

  soft_delete_policy {
    retention_duration_seconds = 0
  }

  # Removes versions from the time when the bucket kept them.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 1
      with_state                 = "ARCHIVED"
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age        = var.retention.unfinished_uploads_days
      with_state = "ANY"
    }
  }

  logging {
    log_bucket        = google_storage_bucket.access_logs.name
    log_object_prefix = "derivatives"
  }

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [var.kms_key]

    content {
      default_kms_key_name = encryption.value
    }
  }
}
