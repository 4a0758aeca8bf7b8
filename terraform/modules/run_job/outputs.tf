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
