output "provider_name" {
  description = "Full name of the provider, as the workflows' authentication takes it."
  value       = google_iam_workload_identity_pool_provider.github.name
}

output "account_emails" {
  description = "E-mail addresses of the accounts: `plan`, `apply` and `deploy`."
  value       = local.emails
}

output "principals" {
  description = "What a job must be to become each account: the last part of its federated identity."
  value       = local.principals
}
