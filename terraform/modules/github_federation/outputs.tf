output "provider_name" {
  description = "Full name of the provider, for authentication in workflows."
  value       = google_iam_workload_identity_pool_provider.github.name
}

output "account_emails" {
  description = "E-mail addresses of the accounts: `plan`, `apply` and `deploy`."
  value       = local.emails
}

output "principals" {
  description = "What identifies a job that may use each account: the last part of its federated identity."
  value       = local.principals
}
