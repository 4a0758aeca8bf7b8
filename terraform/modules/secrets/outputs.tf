output "secret_names" {
  description = "Full names of the secrets, by their short ones, as Secret Manager's clients take them."
  value       = { for key, secret in google_secret_manager_secret.this : key => "projects/${var.project_id}/secrets/${secret.secret_id}" }
}

output "deletion_protection" {
  description = "Whether a plan may not delete any of the secrets."
  value       = alltrue([for secret in google_secret_manager_secret.this : secret.deletion_protection])
}
