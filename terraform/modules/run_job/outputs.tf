output "name" {
  description = "Name of the job."
  value       = google_cloud_run_v2_job.this.name
}

output "service_account_email" {
  description = "E-mail address of the job's own account."
  value       = local.email
}

output "deletion_protection" {
  description = "Whether a plan may not delete the job."
  value       = google_cloud_run_v2_job.this.deletion_protection
}

output "command" {
  description = "What the job starts."
  value       = google_cloud_run_v2_job.this.template[0].template[0].containers[0].command
}

output "arguments" {
  description = "What it is given."
  value       = google_cloud_run_v2_job.this.template[0].template[0].containers[0].args
}
