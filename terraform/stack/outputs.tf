output "api_url" {
  description = "URL of the API."
  value       = coalesce(var.api.public_base_url, module.image_api.uri)
}

output "processor_url" {
  description = "URL of the processor, which answers only Pub/Sub."
  value       = module.image_processor.uri
}

output "migration_job_name" {
  description = "Job that migrates the schema and hands over the first admin key."
  value       = module.image_migrate.name
}

output "admin_key_secret" {
  description = "Secret that holds the first admin key."
  value       = module.secrets.secret_names["image-manager-admin-key"]
}

output "network_name" {
  description = "Network whose abandoned peering a complete removal has to delete."
  value       = module.network.network_name
}

output "database_instance_name" {
  description = "Name of the database's instance."
  value       = module.database.instance_name
}

output "connection_budget" {
  description = "Connections that the services may open together, and those that the database has for them."
  value       = terraform_data.connection_budget.input
}

output "edge_address" {
  description = "Address that the domains' records must point to; null without a load balancer."
  value       = var.edge.enabled ? module.edge[0].address : null
}

output "edge_dns_records" {
  description = "Records that the domains' zone must have before edge.exclusive; null without a load balancer."
  value       = one(module.edge[*].dns_records)
}

output "rate_limit_url" {
  description = "URL of the store of the rate limits; null without it."
  value       = one(module.rate_limit_store[*].url)
}
