output "alert_names" {
  description = "Names of the alerts. Each has a heading in the runbooks."
  value       = keys(local.alerts)
}

output "objective_names" {
  description = "Full names of the service level objectives, by their short names."
  value       = { for key, objective in google_monitoring_slo.this : key => objective.name }
}

output "audit_bucket_id" {
  description = "Log bucket of the audit events."
  value       = google_logging_project_bucket_config.audit.bucket_id
}

output "watched" {
  description = "Services, delivery, subscriptions, scheduled calls, job, Cloud Armor policies and URL maps that the alerts, the dashboard and the exclusions refer to, and the maximum number of database connections."
  value = merge({ max_connections = var.watched.database.max_connections }, {
    for key, value in var.watched : key => value if contains(["services", "subscriptions", "schedules", "job_name", "delivery", "security_policies", "url_maps"], key)
  })
}

output "condition_count" {
  description = "Number of conditions of all alerts. Each is billed monthly."
  value       = sum([for policy in merge(google_monitoring_alert_policy.burn_rate, google_monitoring_alert_policy.threshold, google_monitoring_alert_policy.query) : length(policy.conditions)])
}

output "audit_retention_days" {
  description = "Days for which audit events are kept."
  value       = google_logging_project_bucket_config.audit.retention_days
}
