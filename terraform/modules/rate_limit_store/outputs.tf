locals {
  connections = flatten([
    for endpoint in google_memorystore_instance.this.endpoints : [
      for connection in endpoint.connections : connection.psc_auto_connection
    ]
  ])
}

output "url" {
  description = "URL of the store. It contains no secret."
  value       = "rediss://${one([for each in local.connections : each.ip_address if each.connection_type == "CONNECTION_TYPE_PRIMARY"])}:6379/0"
}

output "ca_certificates" {
  description = "Certificate authorities of the instance in PEM, the only ones that clients trust."
  value       = join("\n", flatten(google_memorystore_instance.this.managed_server_ca[*].ca_certs[*].certificates[*]))
}
