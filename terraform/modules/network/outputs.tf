output "network_id" {
  description = "The network, for Cloud Run's egress."
  value       = google_compute_network.this.id
}

output "network_name" {
  description = "Name of the network, for the removal of an abandoned peering."
  value       = google_compute_network.this.name
}

output "subnet_id" {
  description = "The subnet, for Cloud Run's egress."
  value       = google_compute_subnetwork.run.id
}

output "private_services_network_id" {
  description = "The network, known only once Google's managed services are connected to it: what Cloud SQL waits for."
  value       = google_compute_network.this.id
  depends_on  = [google_service_networking_connection.services]
}
