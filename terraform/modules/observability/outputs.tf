output "alert_names" {
  description = "Names of the alerts, each with a heading in the runbooks."
  value       = keys(local.alerts)
}

output "objective_names" {
  description = "Full names of the service level objectives, by their short ones."
  value       = { for key, objective in google_monitoring_slo.this : key => objective.name }
}

output "audit_bucket_id" {
  description = "Log bucket that keeps the audit events."
  value       = google_logging_project_bucket_config.audit.bucket_id
}
