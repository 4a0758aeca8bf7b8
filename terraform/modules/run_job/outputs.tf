output "name" {
  description = "Name of the job."
  value       = google_cloud_run_v2_job.this.name
}

output "service_account_email" {
  description = "E-mail address of the job's account."
  value       = local.email
}

output "deletion_protection" {
  description = "Whether the job is protected against deletion by a plan."
  value       = google_cloud_run_v2_job.this.deletion_protection
}

output "command" {
  description = "Command and arguments of the job."
  value       = google_cloud_run_v2_job.this.template[0].template[0].containers[0].command
}

output "arguments" {
  description = "Environment of the job."
  value       = google_cloud_run_v2_job.this.template[0].template[0].containers[0].args
}
