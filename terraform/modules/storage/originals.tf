resource "google_storage_bucket" "originals" {
  project       = var.project_id
  name          = "${var.name_prefix}-originals"
  location      = var.location
  labels        = var.labels
  force_destroy = var.force_destroy

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = true
  }

  soft_delete_policy {
    retention_duration_seconds = var.retention.soft_delete_days * 86400
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = var.retention.older_generations_days
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

  dynamic "cors" {
    for_each = length(var.direct_upload_origins) > 0 ? [var.direct_upload_origins] : []

    content {
      origin          = cors.value
      method          = ["PUT", "POST", "OPTIONS"]
      response_header = ["Content-Type", "Content-Range", "Location", "Range", "X-Goog-Content-Length-Range", "X-Goog-If-Generation-Match", "X-Goog-Resumable"]
      max_age_seconds = 3600
    }
  }

  logging {
    log_bucket        = google_storage_bucket.access_logs.name
    log_object_prefix = "originals"
  }

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [var.kms_key]

    content {
      default_kms_key_name = encryption.value
    }
  }
}
