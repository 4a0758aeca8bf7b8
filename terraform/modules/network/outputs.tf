output "network_id" {
  description = "Network for egress of Cloud Run."
  value       = google_compute_network.this.id
}

output "network_name" {
  description = "Name of the network, for removing an abandoned peering."
  value       = google_compute_network.this.name
}

output "subnet_id" {
  description = "Subnet for egress of Cloud Run."
  value       = google_compute_subnetwork.run.id
}

output "private_services_network_id" {
  description = "Network, known only after Google's managed services are connected to it, which Cloud SQL depends on."
  value       = google_compute_network.this.id
  depends_on  = [google_service_networking_connection.services]
}
