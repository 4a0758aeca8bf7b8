output "address" {
  description = "The address that the domains' records must point to."
  value       = google_compute_global_address.this.address
}

output "security_policy_name" {
  description = "Name of the Cloud Armor policy."
  value       = google_compute_security_policy.this.name
}
