output "secret_names" {
  description = "Full names of the secrets, by their short names, in the format of Secret Manager's clients."
  value       = { for key, secret in google_secret_manager_secret.this : key => "projects/${var.project_id}/secrets/${secret.secret_id}" }
}

output "deletion_protection" {
  description = "Whether the secrets are protected against deletion by a plan."
  value       = alltrue([for secret in google_secret_manager_secret.this : secret.deletion_protection])
}
