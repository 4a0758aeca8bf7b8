resource "google_logging_project_bucket_config" "audit" {
  project        = var.project_id
  location       = var.region
  bucket_id      = "image-manager-audit"
  description    = "Audit events, kept longer than all other logs."
  retention_days = var.audit_retention_days
}

resource "google_logging_project_sink" "audit" {
  project                = var.project_id
  name                   = "image-manager-audit"
  description            = "Keeps who changed what, in the cloud and through the API, the seals of the audit log, and who read a secret."
  destination            = "logging.googleapis.com/projects/${var.project_id}/locations/${google_logging_project_bucket_config.audit.location}/buckets/${google_logging_project_bucket_config.audit.bucket_id}"
  filter                 = "logName:\"cloudaudit.googleapis.com\" OR (resource.type=(\"cloud_run_revision\" OR \"cloud_run_job\") AND jsonPayload.event=(\"audit\" OR \"audit_sealed\" OR \"audit_pruned\"))"
  unique_writer_identity = true
}

# Reads are not logged by default. Those of secrets are rare and important.
resource "google_project_iam_audit_config" "secrets" {
  project = var.project_id
  service = "secretmanager.googleapis.com"

  audit_log_config {
    log_type = "ADMIN_READ"
  }

  audit_log_config {
    log_type = "DATA_READ"
  }

  audit_log_config {
    log_type = "DATA_WRITE"
  }
}
