output "address" {
  description = "Address that the records of the domains must point to."
  value       = google_compute_global_address.this.address
}

output "security_policy_names" {
  description = "Names of the Cloud Armor policies: the API's, that of share links, and delivery's if it is behind the load balancer."
  value       = concat([google_compute_security_policy.this.name, google_compute_security_policy.links.name], google_compute_security_policy.delivery[*].name)
}

output "url_map_names" {
  description = "Names of the URL maps, which the log names at each request: for https, and for http."
  value       = [google_compute_url_map.https.name, google_compute_url_map.redirect.name]
}

output "dns_records" {
  description = "Records that the zone of the domains needs: those that prove ownership for the certificates, then those that direct traffic here."
  value = concat(
    flatten([for host, authorization in google_certificate_manager_dns_authorization.this : [
      for record in authorization.dns_resource_record : { name = record.name, type = record.type, data = record.data }
    ]]),
    [for host in local.hosts : { name = "${host}.", type = "A", data = google_compute_global_address.this.address }],
  )
}

output "candidate_url" {
  description = "URL of the revision that a rollout tests."
  value       = "https://${local.candidate_domain}"
}
