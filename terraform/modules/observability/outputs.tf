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

output "watched" {
  description = "The services, subscriptions, scheduled calls and the job that the alerts name, and the connections that the database takes."
  value = merge({ max_connections = var.watched.database.max_connections }, {
    for key, value in var.watched : key => value if contains(["services", "subscriptions", "schedules", "job_name"], key)
  })
}

output "condition_count" {
  description = "Conditions of all alerts; each is paid for every month."
  value       = sum([for policy in merge(google_monitoring_alert_policy.burn_rate, google_monitoring_alert_policy.threshold, google_monitoring_alert_policy.query) : length(policy.conditions)])
}

output "audit_retention_days" {
  description = "For how many days audit events are kept."
  value       = google_logging_project_bucket_config.audit.retention_days
}
